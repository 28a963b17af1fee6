import { Menu, Text } from "@mantine/core";
import type { Command } from "./fileActions.tsx";
import classes from "./files.module.css";

interface FileMenuProps {
  /** Where the pointer or the button is; null while closed. */
  place: { x: number; y: number } | null;
  commands: readonly Command[];
  onClose: () => void;
}

/** The commands for the selection, at the pointer or below a button. */
export function FileMenu({ place, commands, onClose }: FileMenuProps) {
  if (!place || !commands.length) return null;
  return (
    <Menu opened onClose={onClose} position="bottom-start" offset={2} returnFocus={false} key={`${place.x} ${place.y}`}>
      <Menu.Target>
        <span aria-hidden style={{ position: "fixed", left: place.x, top: place.y, width: 1, height: 1 }} />
      </Menu.Target>
      <Menu.Dropdown>
        {commands.map(({ id, label, icon: Icon, shortcut, isDestructive, run }) => (
          <Menu.Item
            key={id}
            leftSection={<Icon size={16} aria-hidden />}
            {...(shortcut && {
              rightSection: (
                <Text size="xs" component="kbd" className={classes.shortcut} aria-hidden>
                  {shortcut}
                </Text>
              ),
            })}
            {...(isDestructive && { c: "var(--mantine-color-error)" })}
            onClick={() => void run()}
          >
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
