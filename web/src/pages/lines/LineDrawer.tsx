import { ActionIcon, Drawer, Skeleton } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useApi } from "../../app/useApi.ts";
import { setQuery } from "../../app/useRoute.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Icon } from "../../parts/Icon.tsx";
import classes from "./LineDrawer.module.css";
import { LineView } from "./LineView.tsx";

interface Props {
  batchId: string;
  line: number | null;
  /** The lines of the table, in its order: for going on from here. */
  order: number[];
}

/** One line beside the table. Left and right go to its neighbours there. */
export function LineDrawer({ batchId, line, order }: Props) {
  const api = useApi();
  const { data, error } = useQuery({
    queryKey: ["line", api.tenant, batchId, line],
    queryFn: ({ signal }) => api.line(batchId, line!, signal),
    enabled: line !== null,
    retry: false,
  });
  const place = line === null ? -1 : order.indexOf(line);
  const at = (index: number) => {
    const next = index >= 0 ? order[index] : undefined;
    if (next !== undefined) setQuery({ line: String(next) });
  };
  const [former, next] = [() => at(place - 1), () => at(place + 1)];
  useHotkeys(line === null ? [] : [["ArrowLeft", former], ["ArrowRight", next]]);
  const title = (
    <span className={classes.title}>
      <span className="mono cut">{data?.custom_id ?? (line === null ? "" : `Line ${line + 1}`)}</span>
      <ActionIcon.Group>
        <ActionIcon variant="default" aria-label="The line before" disabled={place <= 0} onClick={former}>
          <Icon name="left" />
        </ActionIcon>
        <ActionIcon
          variant="default"
          aria-label="The next line"
          disabled={place < 0 || place >= order.length - 1}
          onClick={next}
        >
          <Icon name="right" />
        </ActionIcon>
      </ActionIcon.Group>
    </span>
  );
  return (
    <Drawer
      opened={line !== null}
      onClose={() => setQuery({ line: null })}
      position="right"
      size="min(72rem, 100%)"
      title={title}
      classNames={{ title: classes.head }}
    >
      {error ? <ErrorNotice error={error} /> : data ? <LineView line={data} /> : <Skeleton height={300} />}
    </Drawer>
  );
}
