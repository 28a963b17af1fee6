import { Button, Checkbox, Group, Modal, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { t } from "../lib/i18n.ts";
import { type ConflictChoice, type ConflictQuestion, useConflictQuestion } from "./conflicts.ts";

/** Asks what happens to files whose name is taken; mounted once. */
export function ConflictDialog() {
  const question = useConflictQuestion();
  const answer = (choice: ConflictChoice, isForAll: boolean) => question?.answer({ choice, isForAll });
  return (
    <Modal
      opened={question !== null}
      onClose={() => answer("skip", false)}
      title={t("files.conflict.title")}
      closeButtonProps={{ "aria-label": t("files.conflict.skip") }}
      centered
    >
      {question && <Choices key={question.name} question={question} answer={answer} />}
    </Modal>
  );
}

interface ChoicesProps {
  question: ConflictQuestion;
  answer: (choice: ConflictChoice, isForAll: boolean) => void;
}

function Choices({ question, answer }: ChoicesProps) {
  const [isForAll, setForAll] = useState(false);
  const count = question.count;
  const choose = (choice: ConflictChoice) => () => answer(choice, count !== null || isForAll);
  return (
    <Stack>
      <Text style={{ overflowWrap: "anywhere" }}>
        {count !== null && count > 1
          ? t("files.conflict.many", { name: question.name, count: count - 1 })
          : t("files.conflict.one", { name: question.name })}
      </Text>
      {count === null && (
        <Checkbox
          label={t("files.conflict.forAll")}
          checked={isForAll}
          onChange={(event) => setForAll(event.currentTarget.checked)}
        />
      )}
      <Group justify="flex-end" gap="sm">
        <Button variant="default" onClick={choose("skip")}>
          {t("files.conflict.skip")}
        </Button>
        <Button variant="default" onClick={choose("replace")}>
          {t("files.conflict.replace")}
        </Button>
        <Button onClick={choose("rename")} data-autofocus>
          {t("files.conflict.keepBoth")}
        </Button>
      </Group>
    </Stack>
  );
}
