package bus

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// clientOptions are those of every connection of the switch. Nothing is buffered
// while disconnected, since it would be sent later, when nobody waits for it any
// more; the connection is never given up. One whose server does not answer two
// pings is looked for elsewhere.
func clientOptions(name string, ping time.Duration, log *slog.Logger) []nats.Option {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return []nats.Option{
		nats.Name("tongma " + name),
		nats.CustomInboxPrefix("_INBOX_" + name),
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 200*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(ping),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("nats", "connection", name, "subject", subject, "error", err)
		}),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() {
				log.LogAttrs(context.Background(), slog.LevelWarn, "nats: disconnected", slog.String("connection", name), slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("nats: connected again", "connection", name) }),
	}
}
