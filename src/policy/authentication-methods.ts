/**
 * AuthenticationMethods (sshd_config(5)): alternatives, each a list of methods that have to be met
 * in its order. What may come next is a pure function of what is left of them. Runs in: monitor,
 * launcher.
 */
import { ConfigError } from '../base/errors.ts';
import type { ServerConfig } from './config.ts';
import type { Words } from './words.ts';

/**
 * What is left of each alternative, methods with commas between, as `METHOD` or `METHOD:SUBMETHOD`.
 * undefined: any one method that is offered will do.
 */
export type Chains = readonly string[] | undefined;

/** Names that may stand in a list; those that are not offered here make their list void. */
const knownMethods: readonly string[] = [
  'none',
  'publickey',
  'gssapi-keyex',
  'gssapi-with-mic',
  'password',
  'keyboard-interactive',
  'hostbased',
];
const maxChains = 256;

/** What the configuration offers. `none` is always tried first by clients, and offers nothing. */
export function offersMethod(
  config: Pick<
    ServerConfig,
    | 'pubkeyAuthentication'
    | 'gssapiAuthentication'
    | 'passwordAuthentication'
    | 'kbdInteractiveAuthentication'
  >,
  method: string,
): boolean {
  switch (method) {
    case 'none':
      return true;
    case 'publickey':
      return config.pubkeyAuthentication;
    case 'gssapi-with-mic':
      return config.gssapiAuthentication;
    case 'password':
      return config.passwordAuthentication;
    case 'keyboard-interactive':
      return config.kbdInteractiveAuthentication;
    default:
      return false;
  }
}

function nameOf(element: string): string {
  return element.split(':', 1)[0] as string;
}

/** `any` gives an empty list. */
export function parseAuthenticationMethods({ words }: Words): readonly string[] {
  if (words.length > maxChains) {
    throw new ConfigError(`more than ${maxChains} lists`);
  }
  if (words.includes('any')) {
    if (words.length > 1) {
      throw new ConfigError('"any" must appear alone');
    }
    return [];
  }
  for (const chain of words) {
    const unknown = chain.split(',').find((element) => !knownMethods.includes(nameOf(element)));
    if (unknown !== undefined) {
      throw new ConfigError(`invalid method list "${chain}": unknown method "${unknown}"`);
    }
  }
  if (words.length === 0) {
    throw new ConfigError('missing argument');
  }
  return words;
}

export interface Beginning {
  /** Empty: nobody can log in. */
  readonly chains: Chains;
  /** The lists that were left out, each with the method that is not offered. */
  readonly dropped: readonly { readonly chain: string; readonly method: string }[];
}

/** Lists with a method that is not offered are void. */
export function beginChains(
  configured: readonly string[],
  isOffered: (method: string) => boolean,
): Beginning {
  if (configured.length === 0) {
    return { chains: undefined, dropped: [] };
  }
  const dropped: { chain: string; method: string }[] = [];
  const chains = configured.filter((chain) => {
    const method = chain
      .split(',')
      .map(nameOf)
      .find((name) => !isOffered(name));
    if (method !== undefined) {
      dropped.push({ chain, method });
    }
    return method === undefined;
  });
  return { chains, dropped };
}

/** Some list goes on with this method; a submethod that the list names is not looked at. */
export function mayComeNext(chains: Chains, method: string): boolean {
  return (
    chains === undefined ||
    chains.some((chain) => nameOf(chain.split(',', 1)[0] as string) === method)
  );
}

export type Progress =
  | { readonly is: 'complete' }
  | { readonly is: 'partial'; readonly chains: Chains }
  /** No list wants this method with this submethod. */
  | { readonly is: 'unwanted' };

/** `method` was met. `submethod` empty: it has none. */
export function afterSuccess(chains: Chains, method: string, submethod: string): Progress {
  if (chains === undefined) {
    return { is: 'complete' };
  }
  const wanted = submethod === '' ? [method] : [method, `${method}:${submethod}`];
  let isMet = false;
  const left: string[] = [];
  for (const chain of chains) {
    const [first = '', ...rest] = chain.split(',');
    if (!wanted.includes(first)) {
      left.push(chain);
    } else if (rest.length === 0) {
      return { is: 'complete' };
    } else {
      isMet = true;
      left.push(rest.join(','));
    }
  }
  return isMet ? { is: 'partial', chains: left } : { is: 'unwanted' };
}

/** A conversation with this submethod could be of use. */
export function wantsSubmethod(chains: Chains, method: string, submethod: string): boolean {
  return afterSuccess(chains, method, submethod).is !== 'unwanted';
}
