import { Button, Progress } from "@mantine/core";
import { type DragEvent, useRef, useState } from "react";
import { percent } from "../../lib/format.ts";
import { Icon } from "../../parts/Icon.tsx";
import classes from "./NewBatch.module.css";

interface Props {
  onFile: (file: File) => void;
  /** 0 to 1 while a file is sent; null: none is. */
  progress: number | null;
  onStop: () => void;
}

export function DropZone({ onFile, progress, onStop }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (files: FileList | null) => {
    const [file] = files ?? [];
    if (file) onFile(file);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files);
  };
  if (progress !== null) {
    return (
      <div className={`panel ${classes.zone}`} aria-busy>
        <p className={classes.lead}>{progress < 1 ? `Uploading, ${percent(progress, 1)}` : "Reading its lines"}</p>
        <Progress value={100 * progress} w="min(24rem, 100%)" aria-label="Upload" animated={progress === 1} />
        <Button variant="default" onClick={onStop}>
          Stop
        </Button>
      </div>
    );
  }
  return (
    <div
      className={`panel ${classes.zone}`}
      data-over={over || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Icon name="file" size={28} />
      <p className={classes.lead}>Drop a JSONL file of requests here</p>
      <Button onClick={() => input.current?.click()}>Choose a file</Button>
      <p className="dim">It is checked line by line before anything is sent to a model.</p>
      <input
        ref={input}
        type="file"
        hidden
        aria-label="JSONL file"
        accept=".jsonl,.ndjson,.json,.txt,application/x-ndjson,application/jsonl"
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}
