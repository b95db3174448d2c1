import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };

/** A certificate request in PEM for a PKCS #8 PEM key. Its subject says nothing: the CA decides who the key speaks for. */
export async function makeCsr(key: string): Promise<string> {
  const secret = createPrivateKey(key);
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', secret.export({ type: 'pkcs8', format: 'der' }), P256, false, [
      'sign',
    ]),
    webcrypto.subtle.importKey(
      'spki',
      createPublicKey(secret).export({ type: 'spki', format: 'der' }),
      P256,
      true,
      ['verify'],
    ),
  ]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=domus agent',
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return request.toString('pem');
}
