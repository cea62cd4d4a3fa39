import { noise } from '@chainsafe/libp2p-noise'
import type { MessageStream } from '@libp2p/interface'

/**
 * Noise that hands each of its messages down in one piece. The library hands down length, ciphertext and tag by themselves, and every
 * piece costs a call of the system and, as connections do not wait for more (TCP_NODELAY), a packet.
 */
export function wholeNoise(): ReturnType<typeof noise> {
  const create = noise()
  return (components) => {
    const encrypter = create(components)
    const secureInbound = encrypter.secureInbound.bind(encrypter)
    const secureOutbound = encrypter.secureOutbound.bind(encrypter)
    encrypter.secureInbound = (connection, options) => secureInbound(inOnePiece(connection), options)
    encrypter.secureOutbound = (connection, options) => secureOutbound(inOnePiece(connection), options)
    return encrypter
  }
}

function inOnePiece(connection: MessageStream): MessageStream {
  const send = connection.send.bind(connection)
  connection.send = (data) => send(data.subarray())
  return connection
}
