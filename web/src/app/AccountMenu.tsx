import { ActionIcon, Menu } from "@mantine/core";
import { session } from "../lib/session.ts";
import { Icon } from "../parts/Icon.tsx";
import { useMe } from "./useMe.ts";

export function AccountMenu() {
  const me = useMe();
  const who = [me?.tenant, me?.label, me?.role === "admin" ? "admin" : null].filter(Boolean).join(" · ");
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" c="dimmed" aria-label="Account">
          <Icon name="user" size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {who && <Menu.Label>{who}</Menu.Label>}
        {me?.version && <Menu.Label>BatchRouter {me.version}</Menu.Label>}
        <Menu.Item component="a" href="/docs" target="_blank" leftSection={<Icon name="info" />}>
          The API
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="out" />} onClick={() => session.signOut()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
