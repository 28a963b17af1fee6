// Which ways to sign in the server offers.

import { useQuery } from "@tanstack/react-query";
import { client } from "../lib/client.ts";

export const OPTIONS_KEY = ["sign-in-options"];

export function useSignInOptions() {
  return useQuery({
    queryKey: OPTIONS_KEY,
    queryFn: async () => (await client.api.GET("/v1/auth/options")).data,
    staleTime: 60_000,
  });
}
