export { TokenService } from './token.service.js';
