// Uppy with uploads to S3 that Companion signs, by its defaults; with its Dashboard, if `dashboard` says so.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import { readOptions } from "./candidate.ts";

const { server = "", dashboard } = readOptions();
const uppy = new Uppy().use(AwsS3, { companionEndpoint: server });
if (dashboard) uppy.use(Dashboard, { inline: true, target: "main" });

window.candidate = {
  ready: Promise.resolve(),
  send: async (transfer) => {
    add(transfer.files);
    const { failed = [] } = (await uppy.upload()) ?? {};
    if (failed[0]) throw new Error(`${failed[0].name}: ${failed[0].error}`);
  },
  queue: async (files) => {
    add(files);
    void uppy.upload();
  },
};

function add(files: Iterable<File>): void {
  uppy.addFiles(Array.from(files, (file) => ({ name: file.name, type: file.type, data: file })));
}
