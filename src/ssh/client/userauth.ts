/**
 * The client's side of RFC 4252: methods in the order of ssh, any number of factors. What is not in
 * the table is not tried. Runs in: user.
 */
import { ClientFailure } from './failure.ts';
import {
  type ClientMethod,
  type Failure,
  type MethodContext,
  type Outcome,
  outcomeOf,
  type UserauthPlan,
} from './method.ts';
import { gssapiWithMic } from './methods/gssapi-with-mic.ts';
import { keyboardInteractive } from './methods/keyboard-interactive.ts';
import { password } from './methods/password.ts';
import { publickey } from './methods/publickey.ts';
import type { UserauthWire } from './userauth.seam.ts';

const table: ReadonlyMap<string, ClientMethod> = new Map(
  [gssapiWithMic, publickey, keyboardInteractive, password].map((row) => [row.name, row]),
);

const maxAttempts = 128;
const maxRemarks = 8;

/** Resolves when the server has said SUCCESS; throws ClientFailure `authentication` otherwise. */
export async function authenticate(wire: UserauthWire, plan: UserauthPlan): Promise<void> {
  const remarks = new Set<string>();
  const remark = (text: string): void => {
    if (remarks.size < maxRemarks) remarks.add(text);
  };
  const context: MethodContext = { wire, plan, remark };
  let outcome = outcomeOf(await wire.none(plan.user));
  let factor = new Factor(context);
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    if (outcome.is === 'success') return;
    if (outcome.isPartial) factor = new Factor(context);
    const tried = await factor.next(outcome.methods);
    if (!tried) throw denied(plan, outcome, remarks);
    outcome = tried;
  }
  throw new ClientFailure('authentication', 'the server never comes to a decision');
}

function denied(plan: UserauthPlan, last: Failure, remarks: ReadonlySet<string>): ClientFailure {
  const methods = last.methods.join(',');
  const lines = [`${plan.user}@${plan.host}: Permission denied (${methods}).`, ...remarks];
  return new ClientFailure('authentication', lines.join('\n'));
}

/** What has been tried for the factor at hand; after a partial success a new one begins. */
class Factor {
  readonly #methods: readonly string[];
  readonly #attempts: ReadonlyMap<string, () => Promise<Outcome | null>>;

  constructor(context: MethodContext) {
    this.#methods = context.plan.methods;
    this.#attempts = new Map([...table].map(([name, method]) => [name, method.begin(context)]));
  }

  /** Tries what is left of the methods that the server offers; null: nothing is left. */
  async next(offered: readonly string[]): Promise<Outcome | null> {
    for (const method of this.#methods) {
      if (!offered.includes(method)) continue;
      const outcome = await this.#attempts.get(method)?.();
      if (outcome) return outcome;
    }
    return null;
  }
}
