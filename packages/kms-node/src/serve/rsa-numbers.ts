/** Number theory about public RSA moduli. Public inputs only: variable time is fine. */

/** floor(sqrt(n)) by Newton's method. @param n >= 0 */
export function integerSqrt(n: bigint): bigint {
  if (n < 2n) return n
  let x = 1n << BigInt(Math.ceil(bitLength(n) / 2))
  for (;;) {
    const next = (x + n / x) >> 1n
    if (next >= x) return x
    x = next
  }
}

export const bitLength = (n: bigint): number => {
  const hex = n.toString(16)
  return (hex.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hex.charAt(0), 16)))
}

const SQUARE_FILTER = 45_045
const squareResidues = new Uint8Array(SQUARE_FILTER)
for (let x = 0; x < SQUARE_FILTER; x++) squareResidues[(x * x) % SQUARE_FILTER] = 1

/** @param n >= 0 */
export function isSquare(n: bigint): boolean {
  const low = Number(n & 7n)
  if (low !== 0 && low !== 1 && low !== 4) return false
  if (squareResidues[Number(n % BigInt(SQUARE_FILTER))] === 0) return false
  const root = integerSqrt(n)
  return root * root === n
}

/** The odd primes below `limit`. */
function oddPrimesBelow(limit: number): readonly number[] {
  const composite = new Uint8Array(limit)
  const primes: number[] = []
  for (let n = 3; n < limit; n += 2) {
    if (composite[n] === 1) continue
    primes.push(n)
    for (let multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1
  }
  return primes
}

const SMALL_PRIME_LIMIT = 1 << 14
const SMALL_PRIMES = oddPrimesBelow(SMALL_PRIME_LIMIT)
const PRIMORIAL = SMALL_PRIMES.reduce((product, prime) => product * BigInt(prime), 1n)

/** Whether an odd prime below 2^14 divides n: gcd(n, primorial) > 1. */
export function hasSmallFactor(n: bigint): boolean {
  let [a, b] = [n, PRIMORIAL % n]
  while (b !== 0n) [a, b] = [b, a % b]
  return a !== 1n
}

const FERMAT_STEPS = 1000

/** Whether Fermat's method splits n within 1000 steps: its factors lie too close together. @param n odd, not a square */
export function hasCloseFactors(n: bigint): boolean {
  let a = integerSqrt(n) + 1n
  let rest = a * a - n
  for (let step = 0; step < FERMAT_STEPS; step++) {
    if (isSquare(rest)) return true
    rest += 2n * a + 1n
    a += 1n
  }
  return false
}

const ROCA_PRIMES = oddPrimesBelow(168)
const rocaResidues = ROCA_PRIMES.map((prime) => {
  const powers = new Uint8Array(prime)
  for (let power = 1; powers[power] === 0; power = (power * 65_537) % prime) powers[power] = 1
  return { prime: BigInt(prime), powers }
})

/**
 * ROCA (CVE-2017-15361): keys of one chip vendor's library are powers of 65537 modulo each of the 38 odd primes up to 167.
 * An honest modulus is one with probability below 2^-150.
 */
export const isRocaModulus = (n: bigint): boolean =>
  rocaResidues.every(({ prime, powers }) => powers[Number(n % prime)] === 1)
