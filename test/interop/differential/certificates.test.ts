/**
 * Which certificate opens what: principals, critical options, extensions, lines of authorities,
 * ForceCommand; each row as at Debian's sshd. Runs in: test, in the lab.
 */
import { writeFileSync } from 'node:fs';
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);
const out = 'refused: publickey';

const trust = 'TrustedUserCAKeys /etc/ssh/differential-ca.pub';
interface CertRow {
  readonly options: readonly string[];
  readonly set?: readonly string[];
  readonly keys?: readonly string[];
  readonly end: string;
}
const certRow = (name: string, { options: made, set = [trust], keys = [], end }: CertRow): Row => ({
  name: `certificate ${name}`,
  set,
  keys,
  certificates: { c: made },
  steps: ['cert c', 'tty echo in'],
  is: end,
});
const named = ['-n', '$U'];
const principals = (lines: string): readonly string[] => [
  trust,
  `AuthorizedPrincipalsFile /etc/ssh/principals-${lines}`,
];
const certificates: readonly Row[] = [
  certRow('of its user', { options: named, end: 'accepted | 0: in' }),
  certRow('without a trusted authority', { options: named, set: [], end: out }),
  certRow('of another user', { options: ['-n', 'nobody-else'], end: out }),
  certRow('of several', { options: ['-n', 'nobody-else,$U'], end: 'accepted | 0: in' }),
  certRow('with a pattern', { options: ['-n', 'row*'], end: out }),
  certRow('without principals', { options: [], end: out }),
  certRow('that is over', { options: [...named, '-V', '20200101:20200102'], end: out }),
  certRow('that is not yet', { options: [...named, '-V', '29990101:29990102'], end: out }),
  certRow('of a host', { options: [...named, '-h'], end: out }),
  certRow('with a command', {
    options: [...named, '-O', 'force-command=echo certified'],
    end: 'accepted | 0: certified',
  }),
  certRow('with a command, under ForceCommand', {
    options: [...named, '-O', 'force-command=echo certified'],
    set: [trust, 'ForceCommand echo config'],
    end: 'accepted | 0: config',
  }),
  certRow('from here', {
    options: [...named, '-O', 'source-address=127.0.0.0/8'],
    end: 'accepted | 0: in',
  }),
  certRow('from elsewhere', { options: [...named, '-O', 'source-address=10.0.0.0/8'], end: out }),
  certRow('without pty', {
    options: [...named, '-O', 'no-pty'],
    end: 'accepted | no pty-req, 0: in',
  }),
  certRow('clear', { options: [...named, '-O', 'clear'], end: 'accepted | no pty-req, 0: in' }),
  certRow('with an unknown critical option', {
    options: [...named, '-O', 'critical:no-such@example.org=1'],
    end: out,
  }),
  certRow('with an unknown extension', {
    options: [...named, '-O', 'extension:no-such@example.org=1'],
    end: 'accepted | 0: in',
  }),
  certRow('with an empty command', {
    options: [...named, '-O', 'critical:force-command'],
    end: out,
  }),
  certRow('by a line of the user', {
    options: named,
    set: [],
    keys: ['cert-authority $CA'],
    end: 'accepted | 0: in',
  }),
  certRow('by a line of the user with another principal', {
    options: named,
    set: [],
    keys: ['cert-authority,principals="boss" $CA'],
    end: out,
  }),
  certRow('by a line of the user that names the principal', {
    options: ['-n', 'boss'],
    set: [],
    keys: ['cert-authority,principals="boss,$U" $CA'],
    end: 'accepted | 0: in',
  }),
  certRow('by a line with another command', {
    options: [...named, '-O', 'force-command=echo certified'],
    set: [],
    keys: ['cert-authority,command="echo line" $CA'],
    end: out,
  }),
  certRow('by a line with the same command', {
    options: [...named, '-O', 'force-command=echo certified'],
    set: [],
    keys: ['cert-authority,command="echo certified" $CA'],
    end: 'accepted | 0: certified',
  }),
  certRow('by a line with restrict', {
    options: named,
    set: [],
    keys: ['cert-authority,restrict $CA'],
    end: 'accepted | no pty-req, 0: in',
  }),
  certRow('by a line that is no authority', { options: named, set: [], keys: ['$CA'], end: out }),
  certRow('and a line with the plain key', { options: named, set: [], keys: ['$PLAIN'], end: out }),
  certRow('of a principal in the file', {
    options: ['-n', 'boss'],
    set: principals('boss'),
    end: 'accepted | 0: in',
  }),
  certRow('of its user, who is not in the file', {
    options: named,
    set: principals('boss'),
    end: out,
  }),
  certRow('of a principal with options in the file', {
    options: ['-n', 'clerk'],
    set: principals('boss'),
    end: 'accepted | no pty-req, 0: clerk',
  }),
  certRow('of a principal from elsewhere', {
    options: ['-n', 'far'],
    set: principals('boss'),
    end: out,
  }),
  certRow('and no file of principals', { options: named, set: principals('gone'), end: out }),
  certRow('of a revoked authority', {
    options: named,
    set: [trust, 'RevokedKeys /etc/ssh/differential-ca.pub'],
    end: out,
  }),
  certRow('and a list of revoked keys that is not there', {
    options: named,
    set: [trust, 'RevokedKeys /etc/ssh/no-such'],
    end: out,
  }),
];

differential(lab, {
  name: 'which certificate opens what, as by sshd',
  config: ['UsePAM yes', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no'],
  rows: certificates,
  prepare() {
    writeFileSync(
      '/etc/ssh/principals-boss',
      'boss\nno-pty,command="echo clerk" clerk\nfrom="10.0.0.1" far\n',
    );
  },
});
