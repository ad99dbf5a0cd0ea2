/**
 * What a session comes to: exit statuses and signals, MaxSessions, PermitTTY, AcceptEnv, SetEnv,
 * subsystems; each row as at Debian's sshd. Runs in: test, in the lab.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);

const ends: readonly Row[] = (
  [
    ['exit 0', '0:'],
    ['exit 1', '1:'],
    ['exit 255', '255:'],
    ['exit 256', '0:'],
    ['echo out; echo err >&2; exit 3', '3: out / err'],
    ['no-such-command-here', /^accepted \| 127: /],
    ['kill -TERM $$', 'TERM:'],
    ['kill -KILL $$', 'KILL:'],
    ['kill -SEGV $$', 'SEGV:'],
    ['kill -HUP $$', 'HUP:'],
    ['kill -USR1 $$', 'USR1:'],
    ['kill -XCPU $$', /./],
    ['kill -40 $$', /./],
    ['kill -ABRT $$', 'ABRT:'],
    ['exec 0<&- 1>&- 2>&-; exit 4', '4:'],
    ['cat; exit 5', '5:'],
    ['trap "" PIPE; exit 6', '6:'],
  ] as const
).map(([command, end]) => ({
  name: `the end of: ${command}`,
  steps: ['key', `exec ${command}`],
  is: typeof end === 'string' ? `accepted | ${end}` : end,
}));

const sessions: readonly Row[] = (
  [
    ['MaxSessions 0', ['sessions 1'], 'failed 2'],
    ['MaxSessions 1', ['sessions 2'], 'open, failed 2'],
    ['MaxSessions 3', ['sessions 4'], 'open, open, open, failed 2'],
    ['PermitTTY no', ['tty echo in'], 'no pty-req, 0: in'],
    ['PermitTTY yes', ['tty tty'], '0: /dev/pts/N'],
    ['AcceptEnv ROW_*', ['env ROW_A=1 echo "[$ROW_A]"'], '0: [1]'],
    ['AcceptEnv ROW_A', ['env ROW_AB=1 echo "[$ROW_AB]"'], /0: \[\]$/],
    ['AcceptEnv ROW_?', ['env ROW_A=1 echo "[$ROW_A]"'], '0: [1]'],
    ['AcceptEnv !ROW_A ROW_*', ['env ROW_A=1 echo "[$ROW_A]"'], /\[1?\]$/],
    ['AcceptEnv row_a', ['env ROW_A=1 echo "[$ROW_A]"'], /0: \[\]$/],
    ['SetEnv ROW_A=2', ['env ROW_A=1 echo "[$ROW_A]"'], /0: \[2\]$/],
    ['SetEnv "ROW_A=a b" ROW_B=c', ['exec echo "[$ROW_A][$ROW_B]"'], '0: [a b][c]'],
    ['SetEnv ROW_A=', ['exec echo "[${ROW_A-unset}]"'], '0: []'],
  ] as const
).map(([line, steps, is]) => ({
  name: `${line}: ${steps.join(', ')}`,
  set: [line, ...(line.startsWith('SetEnv ROW_A=2') ? ['AcceptEnv ROW_A'] : [])],
  steps: ['key', ...steps],
  is: typeof is === 'string' ? `accepted | ${is}` : is,
}));

const subsystems: readonly Row[] = (
  [
    ['subsystem probe', '0: probe'],
    ['subsystem PROBE', 'no subsystem'],
    ['subsystem prob', 'no subsystem'],
    ['subsystem none-such', 'no subsystem'],
    ['subsystem fails', '3: out'], // what it says on stderr goes nowhere
    ['subsystem gone', '127:'],
    ['shell exit 8', '8:'],
    ['shell echo $0', /^accepted \| 0: -/],
    ['exec echo $0', '0: sh'],
    ['exec', '0:'],
    ['exec  ', '0:'],
    ['exec echo \'a  b\' \\\\ "c"', '0: a  b \\ c'],
  ] as const
).map(([step, end]) => ({
  name: step,
  steps: ['key', step],
  is: typeof end === 'string' ? `accepted | ${end}` : end,
}));

const noProgram: Row = {
  name: 'a shell that the kernel does not run',
  shell: '/etc/not-elf',
  steps: ['key', 'exec echo in'],
  is: 'accepted | 1:  / /etc/not-elf: Exec format error',
  differs: {
    is: 'accepted | no exec',
    because: 'a program that does not start is a request that fails; the log has the reason',
  },
};

differential(lab, {
  name: 'what a session comes to, as by sshd',
  config: [
    ...['UsePAM yes', 'Subsystem probe /bin/echo probe', 'Subsystem gone /no/such/program'],
    'Subsystem fails echo out; echo err >&2; exit 3',
  ],
  rows: [...ends, ...sessions, ...subsystems, noProgram],
  prepare() {
    writeFileSync('/etc/not-elf', 'this is not a program\n');
    chmodSync('/etc/not-elf', 0o755);
  },
});
