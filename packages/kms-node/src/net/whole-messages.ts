import { noise, type NoiseInit } from '@chainsafe/libp2p-noise'
import type { MessageStream } from '@libp2p/interface'
import { type HandshakeRecorder, type HandshakeSide, recordHandshake } from './channel-binding.ts'

/**
 * Noise that hands each of its messages down in one piece, and notes what binds a proof to the connection (`channelBindingOf`). The
 * library hands down length, ciphertext and tag by themselves, and every piece costs a call of the system and, as connections do not
 * wait for more (TCP_NODELAY), a packet.
 */
export function wholeNoise(options: NoiseInit = {}): ReturnType<typeof noise> {
  const create = noise(options)
  return (components) => {
    const encrypter = create(components)
    const secureInbound = encrypter.secureInbound.bind(encrypter)
    const secureOutbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = (connection, given) =>
      recorded(connection, 'responder', () => secureInbound(connection, given))
    encrypter.secureOutbound = (connection, given) =>
      recorded(connection, 'initiator', () => secureOutbound(connection, given))
    return encrypter
  }
}

async function recorded<Secured>(
  connection: MessageStream,
  side: HandshakeSide,
  secure: () => Promise<Secured>,
): Promise<Secured> {
  const recorder = recordHandshake(connection, side)
  writeWhole(connection, recorder)
  try {
    const secured = await secure()
    recorder.keepBinding()
    return secured
  } finally {
    recorder.stop()
  }
}

function writeWhole(connection: MessageStream, recorder: HandshakeRecorder): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => {
    const bytes = data.subarray()
    recorder.sent(bytes)
    return send(bytes)
  }
}
