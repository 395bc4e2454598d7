import { ActionIcon, Tooltip } from "@mantine/core";
import { useEffect, useState } from "react";
import { Icon } from "./Icon.tsx";

const TOLD_MS = 1_500;

/** `of` is what is copied, for those who cannot see what it stands beside. */
export function CopyButton({ text, of }: { text: string; of: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), TOLD_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    await toClipboard(text);
    setCopied(true);
  };
  return (
    <Tooltip label={copied ? "Copied" : `Copy ${of}`}>
      <ActionIcon variant="subtle" color="gray" c="dimmed" size="sm" aria-label={`Copy ${of}`} onClick={copy}>
        <Icon name={copied ? "check" : "copy"} size={14} />
      </ActionIcon>
    </Tooltip>
  );
}

/** Browsers give pages a clipboard over HTTPS and on the own machine alone; elsewhere what is selected can be copied. */
async function toClipboard(text: string) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  const before = document.activeElement as HTMLElement | null;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
}
