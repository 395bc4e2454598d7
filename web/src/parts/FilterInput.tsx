import { CloseButton, TextInput } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { setQuery, useRoute } from "../app/useRoute.ts";
import { Icon, type IconName } from "./Icon.tsx";

const QUIET_MS = 300;

interface Props {
  /** In the address. */
  name: string;
  label: string;
  placeholder: string;
  width: string;
  icon?: IconName;
}

/** Text that narrows a list; it goes into the address when its writer rests. */
export function FilterInput({ name, label, placeholder, width, icon }: Props) {
  const told = useRoute().query.get(name) ?? "";
  const [text, setText] = useState(told);
  const sent = useRef(told);
  useEffect(() => {
    // Changed elsewhere: cleared, or a step back.
    if (told !== sent.current) {
      sent.current = told;
      setText(told);
    }
  }, [told]);
  useEffect(() => {
    if (text === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = text;
      setQuery({ [name]: text.trim() || null });
    }, QUIET_MS);
    return () => clearTimeout(timer);
  }, [text, name]);
  return (
    <TextInput
      aria-label={label}
      placeholder={placeholder}
      w={width}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      leftSection={icon && <Icon name={icon} />}
      rightSection={text ? <CloseButton size="sm" aria-label={`Clear ${label}`} onClick={() => setText("")} /> : null}
    />
  );
}
