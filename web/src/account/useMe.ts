// The account that is signed in.

import { useQuery } from "@tanstack/react-query";
import { client } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";

export function useMe() {
  return useQuery({ queryKey: keys.me(), queryFn: async () => (await client.api.GET("/v1/me")).data });
}
