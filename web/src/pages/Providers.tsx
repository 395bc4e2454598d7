import { Empty } from "../parts/Empty.tsx";
import { PageTitle } from "../parts/PageTitle.tsx";

export function Providers() {
  return (
    <>
      <PageTitle title="Providers" />
      <Empty title="Not here yet" />
    </>
  );
}
