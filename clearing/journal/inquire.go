package journal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// askAgain is after how long a question to the stream that nobody has answered is
// put once more, beside the ones before. While a cluster chooses a leader nobody
// answers, or somebody that there is none: whoever asks once and waits hears of the
// new one that much later.
const askAgain = 50 * time.Millisecond

// said is what a stream's leader says of the stream, or of one message.
type said struct {
	Error *jetstream.APIError `json:"error"`
	State struct {
		Last uint64 `json:"last_seq"`
	} `json:"state"`
	Message struct {
		Sequence uint64 `json:"seq"`
		Data     []byte `json:"data"`
	} `json:"message"`
}

// inquire puts a question that changes nothing, again and again until the stream's
// leader answers it or the time for one answer is over. The first answer counts,
// whichever question it is to.
func (j *JetStream) inquire(ctx context.Context, subject string, request []byte) (said, error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	type answer struct {
		said said
		err  error
	}
	answers, missed := make(chan answer, 1), make(chan answer, 1)
	put := func() {
		var a answer
		a.said, a.err = j.inquireOnce(ctx, subject, request)
		to := answers
		if a.err != nil && (ctx.Err() != nil || errors.Is(away(a.err), errAway)) {
			to = missed // another question may still find the new leader
		}
		select {
		case to <- a:
		default:
		}
	}
	go put()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		select {
		case a := <-answers:
			return a.said, a.err
		case <-again.C:
			go put()
		case <-ctx.Done():
			select {
			case a := <-missed:
				return a.said, errors.Join(ctx.Err(), a.err)
			default:
				return said{}, ctx.Err()
			}
		}
	}
}

func (j *JetStream) inquireOnce(ctx context.Context, subject string, request []byte) (s said, err error) {
	m, err := j.nc.RequestWithContext(ctx, subject, request)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(m.Data, &s); err != nil {
		return s, err
	}
	if s.Error != nil {
		return s, s.Error
	}
	return s, nil
}
