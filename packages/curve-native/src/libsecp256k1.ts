/**
 * The binary of libsecp256k1 that the npm package `secp256k1` ships, without its fallback in JavaScript. A module of its own, and an
 * entry of this package, because a bundled program must load it from here: the binary is found relative to its package.
 */
export { default as secp256k1 } from 'secp256k1/bindings.js'
