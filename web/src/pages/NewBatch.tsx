import { Empty } from "../parts/Empty.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";

export function NewBatch() {
  return (
    <>
      <PageTitle title="New batch" />
      <Empty title="Not here yet" />
    </>
  );
}
