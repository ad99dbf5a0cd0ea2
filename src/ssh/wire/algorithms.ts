/**
 * The names of algorithms that the transport implements (RFC 4253 §6, §7). The order of the rows is
 * the order of preference; a row without `default` is used only when the configuration names it.
 * Pure. Runs in: monitor (configuration), worker.
 */
export interface AlgorithmRow {
  readonly name: string;
  readonly default: boolean;
}

function on(name: string): AlgorithmRow {
  return { name, default: true };
}
function off(name: string): AlgorithmRow {
  return { name, default: false };
}

/**
 * Off are those that only old peers need: the groups, as in sshd since 10.0, since a large one costs
 * either side milliseconds, and the NIST curves.
 */
export const kexAlgorithms: readonly AlgorithmRow[] = [
  on('mlkem768x25519-sha256'),
  on('curve25519-sha256'),
  on('curve25519-sha256@libssh.org'),
  off('ecdh-sha2-nistp256'),
  off('ecdh-sha2-nistp384'),
  off('ecdh-sha2-nistp521'),
  off('diffie-hellman-group16-sha512'),
  off('diffie-hellman-group18-sha512'),
  off('diffie-hellman-group14-sha256'),
];

export interface HostKeyAlgorithmRow extends AlgorithmRow {
  /** The name inside the public blob. */
  readonly keyType: string;
  /** The name inside the signature. */
  readonly signature: string;
}

function withCertificates(rows: readonly HostKeyAlgorithmRow[]): readonly HostKeyAlgorithmRow[] {
  const suffix = '-cert-v01@openssh.com';
  const certified = rows.map((row) => ({
    ...row,
    name: `${row.name}${suffix}`,
    keyType: `${row.keyType}${suffix}`,
  }));
  return [...certified, ...rows];
}

/** Signature algorithms of host keys and of their certificates, which go first. */
export const hostKeyAlgorithms: readonly HostKeyAlgorithmRow[] = withCertificates([
  { ...on('ssh-ed25519'), keyType: 'ssh-ed25519', signature: 'ssh-ed25519' },
  ...['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'].map((name) => ({
    ...off(name),
    keyType: name,
    signature: name,
  })),
  { ...on('rsa-sha2-512'), keyType: 'ssh-rsa', signature: 'rsa-sha2-512' },
  { ...on('rsa-sha2-256'), keyType: 'ssh-rsa', signature: 'rsa-sha2-256' },
]);

/** `blockBytes` bounds how much one key may encrypt (RFC 4344 §3.2). */
export const cipherAlgorithms: readonly (AlgorithmRow & {
  readonly blockBytes: number;
  readonly authenticates: boolean;
})[] = [
  { ...on('chacha20-poly1305@openssh.com'), blockBytes: 8, authenticates: true },
  { ...on('aes128-gcm@openssh.com'), blockBytes: 16, authenticates: true },
  { ...on('aes256-gcm@openssh.com'), blockBytes: 16, authenticates: true },
  { ...on('aes128-ctr'), blockBytes: 16, authenticates: false },
  { ...on('aes192-ctr'), blockBytes: 16, authenticates: false },
  { ...on('aes256-ctr'), blockBytes: 16, authenticates: false },
];

export const macAlgorithms: readonly AlgorithmRow[] = [
  on('hmac-sha2-256-etm@openssh.com'),
  on('hmac-sha2-512-etm@openssh.com'),
  off('hmac-sha2-256'),
  off('hmac-sha2-512'),
];

/** Plain `zlib` starts before authentication and lets anybody make us inflate: it has no row. */
export const compressionAlgorithms: readonly AlgorithmRow[] = [on('none'), on('zlib@openssh.com')];

/** What EXT_INFO announces as server-sig-algs (RFC 8308 §3.1). */
export const userKeyAlgorithms: readonly AlgorithmRow[] = [
  on('ssh-ed25519'),
  on('ecdsa-sha2-nistp256'),
  on('ecdsa-sha2-nistp384'),
  on('ecdsa-sha2-nistp521'),
  on('rsa-sha2-512'),
  on('rsa-sha2-256'),
];

export function defaultNames(rows: readonly AlgorithmRow[]): readonly string[] {
  return rows.filter((row) => row.default).map((row) => row.name);
}
