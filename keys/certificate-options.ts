/**
 * Critical options and extensions of a user certificate as the options of a login
 * (PROTOCOL.certkeys): what an extension does not permit is forbidden, and a critical option that is
 * not understood refuses the certificate. Pure. Runs in: monitor.
 */
import { ProtocolError } from '../src/base/errors.ts';
import { Reader } from '../src/ssh/wire/reader.ts';
import type { Certificate, CertificateOption } from './certificate.ts';
import { type KeyOptions, noOptions } from './key-options.ts';
import { isValidNetworkList } from './pattern.ts';

/** `level`: as sshd logs the line. */
export interface CertificateLine {
  readonly level: 'ERROR' | 'INFO';
  readonly text: string;
}

export type CertificateOptions =
  | {
      readonly ok: true;
      readonly options: KeyOptions;
      readonly lines: readonly CertificateLine[];
    }
  | { readonly ok: false; readonly lines: readonly CertificateLine[] };

type Draft = { -readonly [K in keyof KeyOptions]: KeyOptions[K] };

/** Takes the option's data; the reason when it is wrong. */
type Apply = (draft: Draft, data: Reader) => string | undefined;

function permits(
  name:
    | 'permitX11Forwarding'
    | 'permitAgentForwarding'
    | 'permitPortForwarding'
    | 'permitPty'
    | 'permitUserRc',
): Apply {
  return (draft) => {
    draft[name] = true;
    return undefined;
  };
}

const extensions: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ['permit-X11-forwarding', permits('permitX11Forwarding')],
  ['permit-agent-forwarding', permits('permitAgentForwarding')],
  ['permit-port-forwarding', permits('permitPortForwarding')],
  ['permit-pty', permits('permitPty')],
  ['permit-user-rc', permits('permitUserRc')],
  [
    'no-touch-required',
    (draft) => {
      draft.needsTouch = false;
      return undefined;
    },
  ],
]);

function textOf(data: Reader): string | undefined {
  const bytes = data.string();
  const text = bytes.toString('utf8');
  return bytes.includes(0) || !Buffer.from(text).equals(bytes) ? undefined : text;
}

const criticalOptions: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  [
    'verify-required',
    (draft) => {
      draft.needsVerification = true;
      return undefined;
    },
  ],
  [
    'force-command',
    (draft, data) => {
      const command = textOf(data);
      if (command === undefined) {
        return 'Unable to parse "force-command" section';
      }
      if (draft.command !== undefined) {
        return 'Certificate has multiple force-command options';
      }
      draft.command = command;
      return undefined;
    },
  ],
  [
    'source-address',
    (draft, data) => {
      const list = textOf(data);
      if (list === undefined) {
        return 'Unable to parse "source-address" section';
      }
      if (draft.sourceAddress !== undefined) {
        return 'Certificate has multiple source-address options';
      }
      if (!isValidNetworkList(list)) {
        return 'Certificate source-address contents invalid';
      }
      draft.sourceAddress = list;
      return undefined;
    },
  ],
]);

function applied(
  draft: Draft,
  apply: Apply,
  { name, data }: CertificateOption,
): string | undefined {
  try {
    const from = new Reader(data);
    const wrong = apply(draft, from);
    if (wrong === undefined && from.left > 0) {
      return `Certificate option "${name}" corrupt (extra data)`;
    }
    return wrong;
  } catch (error) {
    if (error instanceof ProtocolError) {
      return `Unable to parse "${name}" section`;
    }
    throw error;
  }
}

/** Nothing is permitted but what the certificate says; touch is asked of FIDO keys unless it says. */
export function optionsOfCertificate(certificate: Certificate): CertificateOptions {
  const draft: Draft = {
    ...noOptions,
    permitPortForwarding: false,
    permitAgentForwarding: false,
    permitX11Forwarding: false,
    permitPty: false,
    permitUserRc: false,
  };
  const lines: CertificateLine[] = [];
  for (const option of certificate.criticalOptions) {
    const apply = criticalOptions.get(option.name);
    const wrong =
      apply === undefined
        ? `Certificate critical option "${option.name.slice(0, 100)}" is not supported`
        : applied(draft, apply, option);
    if (wrong !== undefined) {
      return { ok: false, lines: [...lines, { level: 'ERROR', text: wrong }] };
    }
  }
  for (const option of certificate.extensions) {
    const apply = extensions.get(option.name);
    if (apply === undefined) {
      const text = `Certificate extension "${option.name.slice(0, 100)}" is not supported`;
      lines.push({ level: 'INFO', text });
      continue;
    }
    const wrong = applied(draft, apply, option);
    if (wrong !== undefined) {
      return { ok: false, lines: [...lines, { level: 'ERROR', text: wrong }] };
    }
  }
  return { ok: true, options: Object.freeze(draft), lines };
}
