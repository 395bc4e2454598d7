import { lazy, Suspense } from "react";
import { Batches } from "../pages/Batches.tsx";
import { NotFound } from "../pages/NotFound.tsx";
import { useRoute } from "./useRoute.ts";

// Each page comes when it is first gone to, with the libraries that only it needs.
const BatchPage = lazy(() => import("../pages/BatchPage.tsx").then((page) => ({ default: page.BatchPage })));
const NewBatch = lazy(() => import("../pages/NewBatch.tsx").then((page) => ({ default: page.NewBatch })));
const Files = lazy(() => import("../pages/Files.tsx").then((page) => ({ default: page.Files })));
const Providers = lazy(() => import("../pages/Providers.tsx").then((page) => ({ default: page.Providers })));
const Keys = lazy(() => import("../pages/Keys.tsx").then((page) => ({ default: page.Keys })));

export function Router() {
  const { path } = useRoute();
  return <Suspense fallback={null}>{pageOf(path)}</Suspense>;
}

function pageOf([first = "batches", second, third]: string[]) {
  switch (first) {
    case "batches":
      if (second === undefined) return <Batches />;
      return <BatchPage key={second} id={second} part={third === "lines" ? "lines" : "overview"} />;
    case "new":
      return <NewBatch />;
    case "files":
      return <Files />;
    case "providers":
      return <Providers />;
    case "keys":
      return <Keys />;
    default:
      return <NotFound />;
  }
}
