/**
 * The same accounts without PAM, where sshd asks shadow(5) itself; each row as at Debian's sshd.
 * Runs in: test, in the lab.
 */
import { differential, type Row } from '../../support/differential.ts';
import { inLab } from '../../support/lab.ts';

const lab = inLab(import.meta.url);
const out = 'refused: publickey,password';

const rows: readonly Row[] = (
  [
    ['$H:19000:0:99999:7:::', 'key', 'accepted | 0: in'],
    ['$H:19000:0:99999:7:::', 'password secret', 'accepted | 0: in'],
    ['$H:19000:0:99999:7:::', 'password wrong', out],
    ['$H:19000:0:99999:7:::', 'password ', out],
    ['$H:19000:0:99999:7:::', 'kbd secret', out],
    ['!$H:19000:0:99999:7:::', 'key', out],
    ['!$H:19000:0:99999:7:::', 'password secret', out],
    ['!:19000:0:99999:7:::', 'key', out],
    ['!!:19000:0:99999:7:::', 'key', out],
    ['!*:19000:0:99999:7:::', 'key', out],
    ['*:19000:0:99999:7:::', 'key', 'accepted | 0: in'],
    ['*!:19000:0:99999:7:::', 'key', 'accepted | 0: in'],
    ['*LK*:19000:0:99999:7:::', 'key', /./],
    ['x:19000:0:99999:7:::', 'key', 'accepted | 0: in'],
    [':19000:0:99999:7:::', 'password ', out],
    [':19000:0:99999:7:::', 'none', out],
    [':19000:0:99999:7:::', 'password x', out],
    ['$H:19000:0:99999:7::1:', 'key', out],
    ['$H:19000:0:99999:7::1:', 'password secret', out],
    ['$H:19000:0:99999:7::99999:', 'key', 'accepted | 0: in'],
    ['$H:0:0:99999:7:::', 'key', /./],
    ['$H:0:0:99999:7:::', 'password secret', /./],
    ['$H:100:0:10:7:::', 'key', /./],
    ['$H:100:0:10:7:::', 'password secret', /./],
    ['$H:100:0:10:7:5::', 'key', /./],
    ['$H:100:0:10:7:5::', 'password secret', /./],
    ['$H::::::::', 'password secret', out], // a field too many
    ['$H:::::::', 'password secret', 'accepted | 0: in'],
    ['$H:19000:0:-1:7:::', 'password secret', out],
    ['$H', 'password secret', /./],
    ['$H', 'key', /./],
  ] as const
).map(([shadow, step, is]) => ({
  name: `shadow ${shadow}: ${step}`,
  shadow,
  steps: [step, 'exec echo in'],
  is,
}));

const unasked: Row = {
  name: 'KbdInteractiveAuthentication yes',
  set: ['KbdInteractiveAuthentication yes'],
  steps: ['none', 'kbd secret'],
  is: `${out},keyboard-interactive | ${out},keyboard-interactive`,
  differs: {
    is: `${out} | ${out}`,
    because: 'without PAM there is nobody who would ask: the method is not offered',
  },
};

const empty: readonly Row[] = (['none', 'password ', 'password x'] as const).map((step) => ({
  name: `PermitEmptyPasswords yes, and none: ${step}`,
  shadow: ':19000:0:99999:7:::',
  set: ['PermitEmptyPasswords yes'],
  steps: [step, 'exec echo in'],
  is: step === 'password x' ? out : 'accepted | 0: in',
}));

differential(lab, {
  name: 'which account without PAM, as by sshd',
  config: ['UsePAM no', 'KbdInteractiveAuthentication no'],
  rows: [...rows, ...empty, unasked],
});
