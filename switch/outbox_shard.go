package switching

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// headerShard says which shard's journal an event comes from, of a switch of several.
const headerShard = "Tm-Shard"

// looksBack bounds how far a stream is looked back for the last event of one shard.
// What is older was published before the outbox's mark.
const looksBack = 10_000

// ownLast returns the last message of a stream that comes from this shard, m being the
// last of all; nil if there is none.
func (o *EventOutbox) ownLast(ctx context.Context, s jetstream.Stream, m *jetstream.RawStreamMsg) (*jetstream.RawStreamMsg, error) {
	if o.opts.Shard == 0 {
		return m, nil
	}
	for range looksBack {
		if m.Header.Get(headerShard) == strconv.Itoa(int(o.opts.Shard)) {
			return m, nil
		}
		if m.Sequence <= 1 {
			return nil, nil
		}
		before, err := s.GetMsg(ctx, m.Sequence-1)
		if errors.Is(err, jetstream.ErrMsgNotFound) { // too old to be kept
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		m = before
	}
	return nil, nil
}

// sign says which shard an event comes from.
func (o *EventOutbox) sign(m *nats.Msg) {
	if o.opts.Shard != 0 {
		m.Header.Set(headerShard, strconv.Itoa(int(o.opts.Shard)))
		m.Header["ce-source"] = []string{fmt.Sprintf("tongma/switch/%d", o.opts.Shard)}
	}
}
