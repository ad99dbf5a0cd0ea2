/** What a program sends before anybody has had time to listen. Runs in: test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Program } from '../../../../../src/ssh/client/program.ts';
import {
  ChannelClose,
  ChannelEof,
  ChannelExtendedData,
  ChannelOpenConfirmation,
  ChannelRequest,
  ChannelSuccess,
} from '../../../../../src/ssh/connection/messages.ts';
import { Connection } from '../../../../../src/ssh/connection/mux.ts';
import { MemoryTransport, settle } from '../../../../support/memory-transport.ts';
import { u32 } from '../../../../support/raw-ssh.ts';

test('stderr and the end right behind the answer to the start are the program’s', async () => {
  const transport = new MemoryTransport();
  const connection = new Connection(transport, {
    channelTypes: new Map(),
    globalRequests: new Map(),
    isClient: true,
  });
  transport.onPayload = (payload) => connection.receive(payload);
  const starting = Program.start(connection, { is: 'exec', command: Buffer.from('true') });
  const size = { windowBytes: 1 << 20, maxPacketBytes: 1 << 15, data: Buffer.alloc(0) };
  transport.deliver(ChannelOpenConfirmation.encode({ recipient: 0, sender: 7, ...size }));
  await settle();
  const recipient = 0;
  // In one go, as a command that is done at once has it: nobody runs between them.
  transport.deliver(
    ChannelSuccess.encode({ recipient }),
    ChannelExtendedData.encode({ recipient, type: 1, data: Buffer.from('err\n') }),
    ChannelRequest.encode({ recipient, name: 'exit-status', wantReply: false, data: u32(7) }),
    ChannelEof.encode({ recipient }),
    ChannelClose.encode({ recipient }),
  );
  const program = await starting;
  const taken: string[] = [];
  program.takeStderr((data, consumed) => {
    taken.push(data.toString());
    consumed();
  });
  assert.deepEqual(taken, ['err\n']);
  assert.deepEqual(await program.closed, { is: 'status', status: 7 });
});
