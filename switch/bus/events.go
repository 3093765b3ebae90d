package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma"
)

// EventConfig bounds what is kept for one participant. When full the oldest
// events go: they are a view of the journal, and can be made again.
type EventConfig struct {
	MaxAge   time.Duration // 30 days if zero
	MaxBytes int64         // reserved at the server, so none if zero: then MaxCount and MaxAge bound it
	MaxCount int64         // a million if zero
	Replicas int           // 1 if zero
}

// maxConsumers bounds what a participant can create on its own stream.
const maxConsumers = 16

// EnsureEvents creates the event stream of a participant and the consumer that
// it reads it with, or brings them to cfg.
func EnsureEvents(ctx context.Context, nc *nats.Conn, p tongma.ParticipantID, cfg EventConfig) error {
	if !p.Valid() {
		return fmt.Errorf("bus: events: %q is not a participant's id", p)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("bus: events of %s: %w", p, err)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 30 * 24 * time.Hour
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = -1
	}
	if cfg.MaxCount == 0 {
		cfg.MaxCount = 1_000_000
	}
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: tongma.EventStream(p), Description: "Events for " + string(p), Subjects: []string{tongma.EventSubject(p, ">")},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: cfg.MaxAge, MaxBytes: cfg.MaxBytes, MaxMsgs: cfg.MaxCount, Replicas: max(cfg.Replicas, 1),
		DenyDelete: true, DenyPurge: true, MaxConsumers: maxConsumers,
	})
	if err != nil {
		return fmt.Errorf("bus: events of %s: %w", p, err)
	}
	_, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: EventConsumer, AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: 30 * time.Second, MaxAckPending: 1000,
	})
	if err != nil {
		return fmt.Errorf("bus: events of %s: %w", p, err)
	}
	return nil
}
