/** The answer to every "may I": yes, or no with a stable reason and the line for the log. Pure. */
export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly reason: string; readonly detail: string };

export const allowed: Verdict = Object.freeze({ allowed: true });

export function refused(reason: string, detail: string): Verdict {
  return { allowed: false, reason, detail };
}
