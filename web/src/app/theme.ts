/** Colours that pass WCAG AA where text stands in or on them; the library's own do not. */

import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

const gray: MantineColorsTuple = [
  "#f6f7f9",
  "#eceff3",
  "#dfe3ea",
  "#cbd2dc",
  "#a9b3c1",
  "#7e8a9a",
  "#586374",
  "#434d5d",
  "#2c3543",
  "#19202b",
];
const dark: MantineColorsTuple = [
  "#dfe3ea",
  "#b9c1cd",
  "#98a3b3",
  "#6a7586",
  "#454e5c",
  "#333b47",
  "#252b35",
  "#171b22",
  "#11141a",
  "#0c0e12",
];
const ink: MantineColorsTuple = [
  "#eef1fd",
  "#dde3fa",
  "#b9c5f4",
  "#93a5ee",
  "#7089e6",
  "#5871d8",
  "#4a61c7",
  "#3b4fb0",
  "#2f4093",
  "#243274",
];
const red: MantineColorsTuple = [
  "#fdf0ef",
  "#fadcd9",
  "#f4b5b0",
  "#ef9089",
  "#ee7b72",
  "#dc4a41",
  "#c9382f",
  "#b02a22",
  "#93201a",
  "#741813",
];
const green: MantineColorsTuple = [
  "#ebf7f0",
  "#d3eddf",
  "#a6dabd",
  "#78c79b",
  "#4fb67e",
  "#2c9a62",
  "#1d814f",
  "#146b40",
  "#0f5632",
  "#0a4326",
];
const amber: MantineColorsTuple = [
  "#fdf4e4",
  "#f9e5c0",
  "#f2ca85",
  "#ebb151",
  "#e09b2c",
  "#bf7d14",
  "#9c620b",
  "#834f06",
  "#6a3f04",
  "#523003",
];

export const theme = createTheme({
  colors: { gray, dark, ink, red, green, yellow: amber, blue: ink },
  primaryColor: "ink",
  primaryShade: { light: 7, dark: 6 },
  autoContrast: true,
  luminanceThreshold: 0.179,
  defaultRadius: "sm",
  cursorType: "pointer",
  fontFamily: "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif",
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace",
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.875rem", lg: "1rem", xl: "1.125rem" },
  headings: {
    fontWeight: "650",
    sizes: {
      h1: { fontSize: "1.25rem", lineHeight: "1.3" },
      h2: { fontSize: "0.9375rem", lineHeight: "1.4" },
      h3: { fontSize: "0.875rem", lineHeight: "1.4" },
    },
  },
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: "xs" } },
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } }, // a child that no menu may have
    Modal: {
      defaultProps: { closeButtonProps: { "aria-label": "Close" } },
      styles: { title: { fontSize: "1rem", fontWeight: 650 } },
    },
    Drawer: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm" } },
    Tooltip: { defaultProps: { openDelay: 300, events: { hover: true, focus: true, touch: true } } },
  },
});

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": gray[6],
    "--mantine-color-placeholder": gray[6],
    "--mantine-color-error": red[7],
    "--mantine-color-anchor": ink[7],
    "--mantine-color-default-border": gray[2],
    "--mantine-color-red-light-color": red[8],
    "--mantine-color-green-light-color": green[8],
    "--mantine-color-yellow-light-color": amber[8],
    "--mantine-color-ink-light-color": ink[8],
  },
  dark: {
    "--mantine-color-dimmed": dark[2],
    "--mantine-color-placeholder": dark[2],
    "--mantine-color-error": red[4],
    "--mantine-color-anchor": ink[3],
    "--mantine-color-default-border": dark[5],
    "--mantine-color-red-light-color": red[3],
    "--mantine-color-green-light-color": green[3],
    "--mantine-color-yellow-light-color": amber[3],
    "--mantine-color-ink-light-color": ink[2],
  },
});
