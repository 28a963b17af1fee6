import { ActionIcon, Button, Menu, SegmentedControl, VisuallyHidden } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { ArrowDownUp, Check, FolderPlus, FolderUp, LayoutGrid, List, Plus, Upload } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { PickButtons, usePicker } from "../uploads/picker.tsx";
import classes from "./files.module.css";
import type { Order } from "./listing.ts";
import type { View } from "./preferences.ts";

interface ToolbarProps {
  folder: RemoteFile | null;
  view: View;
  setView: (view: View) => void;
  order: Order;
  /** Null where the order is given. */
  setOrder: ((order: Order) => void) | null;
  onNewFolder: () => void;
}

const ORDERS: readonly Order[] = ["name", "-name", "-modified", "modified", "-size", "size"];

export function Toolbar({ folder, view, setView, order, setOrder, onNewFolder }: ToolbarProps) {
  return (
    <div className={classes.toolbar}>
      {folder && folder.role !== "viewer" && <AddButtons folder={folder} onNewFolder={onNewFolder} />}
      <div className={classes.actions}>
        {setOrder && (
          <Menu>
            <Menu.Target>
              <ActionIcon aria-label={t("files.sort")}>
                <ArrowDownUp size={18} aria-hidden />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              {ORDERS.map((value) => (
                <Menu.RadioItem
                  key={value}
                  value={value}
                  checked={value === order}
                  checkIcon={<Check size={16} aria-hidden />}
                  onChange={() => setOrder(value)}
                >
                  {t(`files.order.${value}`)}
                </Menu.RadioItem>
              ))}
            </Menu.Dropdown>
          </Menu>
        )}
        <SegmentedControl
          size="xs"
          aria-label={t("files.view")}
          value={view}
          onChange={(value) => setView(value as View)}
          data={[
            { value: "list", label: <ViewLabel icon={List} text={t("files.list")} /> },
            { value: "grid", label: <ViewLabel icon={LayoutGrid} text={t("files.grid")} /> },
          ]}
        />
      </div>
    </div>
  );
}

function ViewLabel({ icon: Icon, text }: { icon: typeof List; text: string }) {
  return (
    <span className={classes.viewLabel}>
      <Icon size={18} aria-hidden />
      <VisuallyHidden>{text}</VisuallyHidden>
    </span>
  );
}

function AddButtons({ folder, onNewFolder }: { folder: RemoteFile; onNewFolder: () => void }) {
  const picker = usePicker(folder);
  return (
    <>
      <Button leftSection={<Upload size={16} aria-hidden />} onClick={picker.pickFiles}>
        {t("files.upload")}
      </Button>
      <Menu position="bottom-start">
        <Menu.Target>
          <Button variant="default" leftSection={<Plus size={16} aria-hidden />}>
            {t("files.new")}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<FolderPlus size={16} aria-hidden />} onClick={onNewFolder}>
            {t("files.newFolder")}
          </Menu.Item>
          <Menu.Item leftSection={<FolderUp size={16} aria-hidden />} onClick={picker.pickFolder}>
            {t("files.uploadFolder")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <PickButtons picker={picker} />
    </>
  );
}
