/**
 * `host:port` of permitopen=, permitlisten=, PermitOpen and PermitListen. Names are compared as they
 * were sent: no look-up, no patterns but `*` (sshd_config(5)). Runs in: monitor.
 */
export interface Destination {
  /** `*`: any. Without brackets. */
  readonly host: string;
  /** `*`: any. */
  readonly port: number | '*';
}

const maxHostCharacters = 1024;

/** 1 to 65535; undefined for everything else. */
export function parsePort(text: string): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) {
    return undefined;
  }
  const port = Number(text);
  return port >= 1 && port <= 65535 ? port : undefined;
}

/** Undefined when `text` is not of the form `host:port`, `[address]:port`, `host:*`. */
export function parseDestination(text: string): Destination | undefined {
  const found = /^(?:\[([^\]]*)\]|([^:/[\]]*)):([^:]*)$/.exec(text);
  if (found === null) {
    return undefined;
  }
  const host = found[1] ?? found[2] ?? '';
  const port = found[3] === '*' ? '*' : parsePort(found[3] ?? '');
  if (host === '' || host.length >= maxHostCharacters || port === undefined) {
    return undefined;
  }
  return { host, port };
}

export function includesDestination(
  list: readonly Destination[],
  host: string,
  port: number,
): boolean {
  return list.some(
    (row) => (row.host === '*' || row.host === host) && (row.port === '*' || row.port === port),
  );
}
