package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of a pull. What the server sends ahead stays well below the 64 MB at
// which a client counts as slow and loses messages.
const (
	pullMessages = 2000
	pullBytes    = 8 << 20
	pullExpires  = 30 * time.Second // when following
	heartbeat    = 5 * time.Second  // when following
	silence      = 12 * time.Second // after which the server is taken for gone, when following; else one answer's time
	consumerIdle = time.Minute      // after which the server forgets a consumer
	patience     = 12 * time.Second // how long a reading without a message tries other consumers; an election takes up to 9 s
)

// puller reads a stream through a consumer of its own that nobody acknowledges
// to, one pull after the other. The client library's iterators are not used: they
// hold as many messages as one pull asks for, and drop one when a status message
// comes between.
type puller struct {
	j       *JetStream
	sub     *nats.Subscription
	inbox   string
	subject string // where to ask for more
	forget  string // where to have the consumer deleted
	request []byte
	silence time.Duration
	number  int // of the pull under way; its status messages go to inbox.number
	left    int // messages that it may still bring
}

// pullUp reads up to last, with another consumer where one cannot be made or asked:
// on a cluster, one just made has nobody to answer for it yet, and an election takes
// its leader away for some seconds. It gives up after patience without a message.
func (j *JetStream) pullUp(ctx context.Context, from, last uint64, fn func(uint64, []byte) error) (uint64, error) {
	began := time.Now()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		next, err := j.pull(ctx, from, last, fn)
		if next > from {
			from, began, pause = next, time.Now(), minPause
		}
		if !errors.Is(err, errAway) || time.Since(began) > patience {
			return from, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return from, ctx.Err()
		}
	}
}

// errAway is a consumer that nobody answers for: another may do.
var errAway = errors.New("consumer is away")

// away marks the errors that another consumer may not meet.
func away(err error) error {
	var refusal jetstream.JetStreamError
	passes := errors.As(err, &refusal) && refusal.APIError() != nil && refusal.APIError().Code == unavailable
	for _, one := range []error{nats.ErrNoResponders, nats.ErrTimeout, context.DeadlineExceeded, nats.ErrDisconnected, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting} {
		passes = passes || errors.Is(err, one)
	}
	if passes {
		return fmt.Errorf("%w: %w", errAway, err)
	}
	return err
}

// unavailable is the code of every refusal that an election or a start causes.
const unavailable = 503

// pull reads up to last, or on and on if last is 0, and returns where to go on.
// Every message is in its place; one that the consumer passed over comes from the
// leader, and one that the leader does not have is an error.
func (j *JetStream) pull(ctx context.Context, from, last uint64, fn func(uint64, []byte) error) (uint64, error) {
	p, err := j.newPuller(ctx, from, last == 0)
	if err != nil {
		return from, fmt.Errorf("journal: stream %s: consumer: %w", j.name, away(err))
	}
	defer p.close()
	defer context.AfterFunc(ctx, func() { p.sub.Unsubscribe() })()
	for last == 0 || from <= last {
		m, err := p.next()
		if ctx.Err() != nil {
			return from, ctx.Err()
		}
		if errors.Is(err, errNoMore) && last != 0 {
			return j.readSingly(ctx, from, last, fn) // there should be more: the leader knows
		}
		if err != nil {
			return from, fmt.Errorf("journal: stream %s: consumer at sequence %d: %w", j.name, from, away(err))
		}
		if from, err = j.deliver(ctx, m, from, fn); err != nil {
			return from, err
		}
	}
	return from, nil
}

func (j *JetStream) newPuller(ctx context.Context, from uint64, follow bool) (*puller, error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	consumer, err := j.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerIdle,
	})
	if err != nil {
		return nil, err
	}
	name := j.name + "." + consumer.CachedInfo().Name
	p := &puller{j: j, inbox: j.nc.NewInbox(), silence: j.timeout, subject: "$JS.API.CONSUMER.MSG.NEXT." + name, forget: "$JS.API.CONSUMER.DELETE." + name}
	p.request = fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"no_wait":true}`, pullMessages, pullBytes)
	if follow {
		p.silence = silence
		p.request = fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`, pullMessages, pullBytes, pullExpires, heartbeat)
	}
	p.sub, err = j.nc.SubscribeSync(p.inbox + ".*")
	return p, err
}

// close ends the pulls, and has the server forget the consumer at once: left to
// consumerIdle, those of many short readings add up to the server's limit for one
// stream, after which nobody can read. The answer is not waited for, since
// consumerIdle ends what a lost message leaves.
func (p *puller) close() {
	p.sub.Unsubscribe()
	_ = p.j.nc.Publish(p.forget, nil)
}

// errNoMore is a pull that the server had nothing for.
var errNoMore = errors.New("no more messages")

// next returns the next message, and asks for more when a pull is done.
func (p *puller) next() (*nats.Msg, error) {
	for {
		if p.left == 0 {
			p.number++
			if err := p.j.nc.PublishRequest(p.subject, p.inbox+"."+strconv.Itoa(p.number), p.request); err != nil {
				return nil, err
			}
			p.left = pullMessages
		}
		m, err := p.sub.NextMsg(p.silence)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(m.Subject, p.inbox) {
			p.left--
			return m, nil
		}
		if err := p.status(m); err != nil {
			return nil, err
		}
	}
}

// status takes what the server says of a pull: that it is alive, that the pull is
// done, or that there will be no more of any.
func (p *puller) status(m *nats.Msg) error {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	if code == "100" || !strings.HasSuffix(m.Subject, "."+strconv.Itoa(p.number)) {
		return nil
	}
	switch {
	case code == "404":
		return errNoMore
	case code == "408", code == "409" && (text == "Batch Completed" || strings.Contains(text, "MaxBytes")):
		p.left = 0
		return nil
	}
	return fmt.Errorf("%w: status %s %s", errAway, code, text)
}

// deliver passes a message on, and before it any that the consumer passed over.
func (j *JetStream) deliver(ctx context.Context, m *nats.Msg, from uint64, fn func(uint64, []byte) error) (uint64, error) {
	meta, err := m.Metadata()
	if err != nil {
		return from, fmt.Errorf("journal: stream %s: %w", j.name, err)
	}
	seq := meta.Sequence.Stream
	if seq < from {
		return from, nil
	}
	if from, err = j.readSingly(ctx, from, seq-1, fn); err != nil {
		return from, err
	}
	if err := fn(seq, m.Data); err != nil {
		return from, err
	}
	return seq + 1, nil
}
