import { Empty } from "../parts/Empty.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";

export function Keys() {
  return (
    <>
      <PageTitle title="Keys" />
      <Empty title="Not here yet" />
    </>
  );
}
