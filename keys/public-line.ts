/**
 * The line of a .pub file: type, base64, comment. Pure. Runs in: monitor.
 */

/** The blob of the first line that is no comment; undefined: there is none, or it is no key. */
export function readPublicLine(bytes: Buffer): Buffer | undefined {
  const lines = bytes.toString('latin1').split('\n', 64);
  const line = lines.map((one) => one.trim()).find((one) => one !== '' && !one.startsWith('#'));
  const [type = '', base64 = ''] = line?.split(/[ \t]+/, 3) ?? [];
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    return undefined;
  }
  const blob = Buffer.from(base64, 'base64');
  const name = Buffer.from(type, 'latin1');
  const isNamed =
    blob.length > 4 + name.length &&
    blob.readUInt32BE(0) === name.length &&
    blob.subarray(4, 4 + name.length).equals(name);
  return isNamed ? blob : undefined;
}
