import { Empty } from "../parts/Empty.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";

export function Files() {
  return (
    <>
      <PageTitle title="Files" />
      <Empty title="Not here yet" />
    </>
  );
}
