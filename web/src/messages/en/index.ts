// The catalogue of all texts in English, in ICU message syntax, one file for each room. Another language has the same keys.

import { account } from "./account.ts";
import { activity } from "./activity.ts";
import { admin } from "./admin.ts";
import { common } from "./common.ts";
import { files } from "./files.ts";
import { live } from "./live.ts";
import { preview } from "./preview.ts";
import { problems } from "./problems.ts";
import { pwa } from "./pwa.ts";
import { sharing } from "./sharing.ts";
import { storage } from "./storage.ts";
import { trash } from "./trash.ts";
import { uploads } from "./uploads.ts";
import { versions } from "./versions.ts";

export const en = {
  ...common,
  ...problems,
  ...account,
  ...activity,
  ...admin,
  ...files,
  ...live,
  ...preview,
  ...pwa,
  ...sharing,
  ...storage,
  ...trash,
  ...uploads,
  ...versions,
};
