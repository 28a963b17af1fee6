// The look of the app: one scale of type, one of spacing, and colours that meet WCAG AA on their backgrounds.

import { type CSSVariablesResolver, createTheme, type MantineThemeOverride } from "@mantine/core";
import { t } from "../lib/i18n.ts";

/** Return the theme with the texts of the language that is shown. */
export function makeTheme(): MantineThemeOverride {
  return createTheme({
    fontFamily:
      'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif, "Noto Color Emoji"',
    fontFamilyMonospace: 'ui-monospace, SFMono-Regular, "Cascadia Mono", Menlo, Consolas, "Noto Sans Mono", monospace',
    fontSizes: { xs: "0.75rem", sm: "0.875rem", md: "1rem", lg: "1.125rem", xl: "1.25rem" },
    lineHeights: { xs: "1.4", sm: "1.45", md: "1.5", lg: "1.5", xl: "1.4" },
    headings: {
      fontWeight: "600",
      sizes: {
        h1: { fontSize: "1.375rem", lineHeight: "1.3" },
        h2: { fontSize: "1.125rem", lineHeight: "1.4" },
        h3: { fontSize: "1rem", lineHeight: "1.4" },
      },
    },
    spacing: { xs: "0.25rem", sm: "0.5rem", md: "1rem", lg: "1.5rem", xl: "2rem" },
    defaultRadius: "md",
    radius: { xs: "0.125rem", sm: "0.25rem", md: "0.5rem", lg: "0.75rem", xl: "1.5rem" },
    primaryColor: "brand",
    primaryShade: 6,
    colors: {
      brand: [
        "#eef3ff",
        "#dbe5ff",
        "#bdd0ff",
        "#93b3ff",
        "#7ba0ff",
        "#3d6df2",
        "#2354e0",
        "#1c44bd",
        "#1a3994",
        "#182f73",
      ],
      dark: [
        "#e4e7ec",
        "#c6cbd4",
        "#a3aab7",
        "#7f8897",
        "#4a5261",
        "#394150",
        "#262c36",
        "#171a20",
        "#111419",
        "#0b0d11",
      ],
    },
    respectReducedMotion: true,
    cursorType: "pointer",
    // Plain objects: `Table.extend` would load each component with the first page.
    components: {
      ActionIcon: { defaultProps: { variant: "subtle", color: "gray", size: 36 } },
      Anchor: { defaultProps: { underline: "hover" } },
      // Colours of initials that meet WCAG AA; yellow, lime, orange and green do not.
      Avatar: { defaultProps: { allowedInitialsColors: ["blue", "cyan", "grape", "indigo", "pink", "red", "violet"] } },
      Badge: { defaultProps: { tt: "none", fw: 500 } },
      Button: { defaultProps: { loaderProps: { type: "dots" } } },
      Loader: { defaultProps: { "aria-label": t("loading") } },
      Menu: {
        defaultProps: {
          position: "bottom-end",
          shadow: "md",
          width: 240,
          withInitialFocusPlaceholder: false, // it is no item, and a menu contains nothing else
        },
      },
      Modal: {
        defaultProps: { centered: true, closeButtonProps: { "aria-label": t("close") }, overlayProps: { blur: 1 } },
      },
      Notification: { defaultProps: { closeButtonProps: { "aria-label": t("close") } } },
      PasswordInput: {
        defaultProps: {
          withAsterisk: false,
          visibilityToggleButtonProps: { "aria-label": t("password.show"), tabIndex: 0 },
        },
      },
      Table: { defaultProps: { verticalSpacing: "sm", horizontalSpacing: "md" } },
      TextInput: { defaultProps: { withAsterisk: false } },
      Tooltip: { defaultProps: { openDelay: 400, withArrow: true } },
    },
  });
}

export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-text": "#1b1f26",
    "--mantine-color-dimmed": "#5a6270",
    "--mantine-color-placeholder": "#667080",
    "--mantine-color-error": "#c42b2b",
    "--mantine-color-anchor": "var(--mantine-color-brand-6)",
    "--mantine-color-gray-light-color": "#454d59",
    "--mantine-color-green-light-color": "#1f6b2f",
    "--mantine-color-lime-light-color": "#3f660a",
    "--mantine-color-orange-light-color": "#a8340a",
    "--mantine-color-teal-light-color": "#066649",
    "--mantine-color-yellow-light-color": "#7d4a00",
    "--app-subtle": "#f6f7f9",
    "--app-border": "#e2e5ea",
    "--app-selected": "var(--mantine-color-brand-0)",
    "--app-on-selected": "var(--mantine-color-brand-8)",
  },
  dark: {
    "--mantine-color-dimmed": "#a3aab7",
    "--mantine-color-placeholder": "#9aa2b0",
    "--mantine-color-error": "#ff8d8d",
    "--mantine-color-anchor": "var(--mantine-color-brand-4)",
    "--app-subtle": "#1d2129",
    "--app-border": "#2f3643",
    "--app-selected": "#22305c",
    "--app-on-selected": "var(--mantine-color-brand-1)",
  },
});
