import { Button } from "@mantine/core";
import { Icon } from "../parts/Icon.tsx";
import { useLink } from "./useRoute.ts";

export function NewBatchLink() {
  const link = useLink();
  return (
    <Button component="a" href={link(["new"])} size="compact-sm" leftSection={<Icon name="plus" size={14} />}>
      New batch
    </Button>
  );
}
