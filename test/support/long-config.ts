/** A configuration as long as one gets: 500 Match blocks, 128 KiB. Runs in: test. */

export const longConfigBlocks = 500;
export const longConfigBytes = 128 * 1024;

/** `criterion`: of every block, or by its number; the usual ones apply to nobody in a test. */
export function longConfig(
  criterion: (index: number) => string = (index) =>
    `User user${index},other${index}*,!no${index} Address 10.${index % 256}.0.0/16,2001:db8:${index.toString(16)}::/48 Group g${index}*`,
): readonly string[] {
  const lines = Array.from({ length: longConfigBlocks }, (_, index) => [
    `Match ${criterion(index)}`,
    `  AllowUsers u${index}* w${index} *`,
    `  AcceptEnv A${index}_* B${index}`,
    '  PermitTTY no',
    '  ForceCommand /usr/local/bin/restricted --for this block',
    `  SetEnv V${index}=${index}`,
  ]).flat();
  const missing = longConfigBytes - lines.join('\n').length;
  return [...lines, `#${'x'.repeat(Math.max(0, missing))}`];
}
