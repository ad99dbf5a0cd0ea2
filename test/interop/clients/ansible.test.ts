/**
 * Ansible: modules are copied and run over a shared connection (ControlPersist), with pipelining and
 * without. Runs in: test, in the lab.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe } from 'node:test';
import { can, inLabWith, largeFile, program, Stage } from '../../support/foreign-client.ts';
import type { ClientOutcome } from '../../support/stock-client.ts';

const lab = inLabWith(import.meta.url, 'ansible');

const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - name: a file with its mode
      copy: {dest: ~/made, content: "by a module\\n", mode: "0640"}
    - name: a command
      command: "sh -c 'echo out; echo err >&2; exit 3'"
      register: said
      failed_when: said.rc != 3 or said.stdout != 'out' or said.stderr != 'err'
    - name: a loop
      shell: "echo {{ item }} >> ~/loop"
      loop: "{{ range(5) | list }}"
`;

describe('Ansible', lab, () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.make();
    mkdirSync('/root/.ansible', { recursive: true });
    writeFileSync(
      '/tmp/inventory',
      `there ansible_host=127.0.0.1 ansible_port=${stage.port} ansible_user=alice ` +
        `ansible_ssh_private_key_file=${stage.ed25519.file} ` +
        'ansible_python_interpreter=/usr/bin/python3\n',
    );
    writeFileSync('/tmp/playbook.yml', playbook);
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
  });

  const settings = (more: Readonly<Record<string, string>>) => ({
    timeoutMs: 55_000,
    environment: {
      ANSIBLE_SSH_COMMON_ARGS: [
        ...['-F none', `-o UserKnownHostsFile=${stage.server.knownHosts}`],
        ...['-o StrictHostKeyChecking=yes', '-o IdentitiesOnly=yes', '-o BatchMode=yes'],
      ].join(' '),
      ANSIBLE_INVENTORY: '/tmp/inventory',
      ANSIBLE_NOCOLOR: '1',
      ANSIBLE_RETRY_FILES_ENABLED: '0',
      ...more,
    },
  });
  const ansible = async (
    args: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<ClientOutcome> =>
    await program('/usr/bin/ansible', ['there', ...args], settings(more));

  can('key ed25519', 'its ping answers pong', async () => {
    const outcome = await ansible(['-m', 'ping']);
    assert.equal(outcome.status, 0, outcome.stderr + outcome.text);
    assert.match(outcome.text, /"ping": "pong"/);
  });

  for (const pipelining of ['False', 'True']) {
    can('command', `a playbook of three tasks, pipelining ${pipelining}`, async () => {
      rmSync('/home/alice/loop', { force: true });
      const outcome = await program(
        '/usr/bin/ansible-playbook',
        ['/tmp/playbook.yml'],
        settings({ ANSIBLE_PIPELINING: pipelining }),
      );
      assert.equal(outcome.status, 0, outcome.stderr + outcome.text);
      assert.match(outcome.text, /there +: ok=3 +changed=\d +unreachable=0 +failed=0/);
      assert.equal(readFileSync('/home/alice/loop', 'utf8'), '0\n1\n2\n3\n4\n');
      assert.equal(statSync('/home/alice/made').mode & 0o777, 0o640);
    });
  }

  can('upload', '9 MiB by its sftp arrive as they were', async () => {
    const outcome = await ansible(['-m', 'copy', '-a', `src=${largeFile} dest=~/up`]);
    assert.equal(outcome.status, 0, outcome.stderr + outcome.text);
    assert.ok(readFileSync('/home/alice/up').equals(stage.large));
  });

  can('download', '9 MiB by its scp arrive as they are', async () => {
    const outcome = await ansible(
      ['-m', 'fetch', '-a', `src=${largeFile} dest=/tmp/got flat=yes`],
      { ANSIBLE_SSH_TRANSFER_METHOD: 'scp' },
    );
    assert.equal(outcome.status, 0, outcome.stderr + outcome.text);
    assert.ok(readFileSync('/tmp/got').equals(stage.large));
  });
});
