import { Global, Module } from '@nestjs/common';
import { Authenticator } from '../../api/authenticator.js';
import { TokenService } from './token.service.js';

@Global()
@Module({
  providers: [TokenService, { provide: Authenticator, useExisting: TokenService }],
  exports: [TokenService, Authenticator],
})
export class AuthModule {}
