import { ActionIcon, Menu, useMantineColorScheme } from "@mantine/core";
import { Icon } from "../parts/Icon.tsx";

const CHOICES = [
  { scheme: "light", words: "Light", icon: "sun" },
  { scheme: "dark", words: "Dark", icon: "moon" },
  { scheme: "auto", words: "As the system", icon: "auto" },
] as const;

export function ThemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const now = CHOICES.find(({ scheme }) => scheme === colorScheme) ?? CHOICES[2];
  return (
    <Menu position="bottom-end" width={180}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" c="dimmed" aria-label={`Colours: ${now.words}`}>
          <Icon name={now.icon} size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {CHOICES.map(({ scheme, words, icon }) => (
          <Menu.RadioItem
            key={scheme}
            value={scheme}
            checked={scheme === colorScheme}
            closeMenuOnClick
            rightSection={<Icon name={icon} />}
            onChange={() => setColorScheme(scheme)}
          >
            {words}
          </Menu.RadioItem>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
