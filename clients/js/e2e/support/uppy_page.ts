// The script of a page with Uppy's Dashboard, as an application bundles it.

import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import { bearer, createClient } from "../../src/index.ts";
import { createUploader } from "../../src/upload/index.ts";
import DropboxApi from "../../src/uppy/index.ts";

const { server, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1))) as Record<string, string>;
const client = createClient({ baseUrl: server ?? "", auth: bearer(token ?? "") });
const uploader = createUploader({ client });
new Uppy().use(Dashboard, { inline: true, target: "main" }).use(DropboxApi, { uploader });
