# The server (API, worker and host link) alone. PostgreSQL and Redis stand beside it in docker-compose.yml; agents run on
# the hosts themselves: packaging/README.md.
FROM node:24-bookworm-slim AS build
WORKDIR /domus
COPY package.json package-lock.json ./
# The optional packages are a Node and a PostgreSQL of our own; this image has the one and docker-compose.yml the other.
RUN npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY migrations migrations
COPY src src
RUN npx nest build && npm prune --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund --loglevel=error

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    DOMUS_DATA_DIR=/var/lib/domus \
    DOMUS_LISTEN=0.0.0.0:8080 \
    DOMUS_METRICS_LISTEN=0.0.0.0:9464 \
    DOMUS_ENROL_LISTEN=0.0.0.0:8443
WORKDIR /domus
COPY --from=build /domus/package.json /domus/package-lock.json ./
COPY --from=build /domus/node_modules node_modules
COPY --from=build /domus/dist dist
RUN install -d -o node -g node -m 0700 /var/lib/domus
USER node
EXPOSE 8080 8443 9464
VOLUME ["/var/lib/domus"]
# Ready means that the migrations are in and the database answers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/src/main.server.js"]
