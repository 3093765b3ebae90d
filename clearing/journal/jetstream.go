package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStreamConfig says which stream keeps a shard, and how.
type JetStreamConfig struct {
	Stream         string        // its name, such as "J_0"
	Subject        string        // the one subject it takes, which nothing else subscribes to
	Replicas       int           // 1 if zero; 3 on a cluster
	MaxBytes       int64         // when full, it takes no more and drops nothing; zero: as long as there is disk
	PublishTimeout time.Duration // how long to wait for one answer, 2 s if zero; an election takes longer, and is waited out by asking again
}

const (
	// headroom is what subject and headers add to the size of a message.
	headroom = 1024
	// fewMessages is up to where messages are asked for one by one: what a standby may
	// be behind by, whose consumer went with a server. A new one cannot be made as long as
	// the cluster has nobody to make it; the stream's own leader is there sooner.
	fewMessages = 1024
	// abreast is for how many of them it is asked at a time.
	abreast = 16
	// mostAnswers is how many answers may come late to publishes that were given up.
	mostAnswers = 64
)

// JetStream is a Store in one JetStream stream. How durable it is, is the
// server's setting: sync_interval always, or three replicas, and nothing else.
type JetStream struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	name    string
	timeout time.Duration
	few     uint64 // messages are asked for one by one

	// What Append publishes, and where it is answered. Whoever has put something
	// into turn owns it all: a second writer on the same Store waits.
	turn    chan struct{}
	message nats.Msg
	inbox   string
	count   uint64           // of publishes; the answer to each comes to inbox.count
	answers chan *nats.Msg   // straight from the connection, one hop less than a request makes
	lost    chan nats.Status // the connection, and with it the answer
}

// OpenJetStream creates the stream, or checks that it is as it must be: in files,
// one subject, full means no more, nothing can be deleted, purged, rolled up or
// expire, nothing sourced or transformed. A stream with other settings is refused
// with each of them; only a larger MaxBytes is applied to one that exists.
func OpenJetStream(ctx context.Context, nc *nats.Conn, cfg JetStreamConfig) (*JetStream, error) {
	cfg.Replicas = max(cfg.Replicas, 1)
	if cfg.PublishTimeout == 0 {
		cfg.PublishTimeout = 2 * time.Second
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := openStream(ctx, js, cfg)
	if err != nil {
		return nil, fmt.Errorf("journal: stream %s: %w", cfg.Stream, err)
	}
	if most := nc.MaxPayload(); most < MaxMessage+headroom {
		return nil, fmt.Errorf("journal: stream %s: the server takes messages up to %d bytes, want %d", cfg.Stream, most, MaxMessage+headroom)
	}
	j := &JetStream{nc: nc, js: js, stream: stream, name: cfg.Stream, timeout: cfg.PublishTimeout, few: fewMessages, inbox: nc.NewInbox() + ".",
		turn: make(chan struct{}, 1), answers: make(chan *nats.Msg, mostAnswers), lost: nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)}
	j.message = nats.Msg{Subject: cfg.Subject, Header: nats.Header{nats.ExpectedLastSeqHdr: {""}, nats.ExpectedStreamHdr: {cfg.Stream}}}
	if _, err := nc.ChanSubscribe(j.inbox+"*", j.answers); err != nil {
		return nil, fmt.Errorf("journal: stream %s: %w", cfg.Stream, err)
	}
	return j, nil
}

func streamConfig(cfg JetStreamConfig) jetstream.StreamConfig {
	maxBytes := cfg.MaxBytes
	if maxBytes <= 0 {
		maxBytes = -1
	}
	return jetstream.StreamConfig{
		Name: cfg.Stream, Description: "Tongma journal: written by the switch alone",
		Subjects: []string{cfg.Subject}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardNew, Replicas: cfg.Replicas, MaxBytes: maxBytes, MaxMsgSize: MaxMessage + headroom,
		MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, DenyDelete: true, DenyPurge: true,
	}
}

func openStream(ctx context.Context, js jetstream.JetStream, cfg JetStreamConfig) (jetstream.Stream, error) {
	want := streamConfig(cfg)
	stream, err := js.Stream(ctx, cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return js.CreateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	if err := compareStream(&have, &want); err != nil {
		return nil, err
	}
	if have.MaxBytes > 0 && (want.MaxBytes < 0 || want.MaxBytes > have.MaxBytes) {
		have.MaxBytes = want.MaxBytes
		return js.UpdateStream(ctx, have)
	}
	return stream, nil
}

// compareStream names every setting that a journal must not have otherwise.
func compareStream(have, want *jetstream.StreamConfig) error {
	var wrong []error
	check := func(ok bool, setting string, has, wants any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s is %v, want %v", setting, has, wants))
		}
	}
	check(len(have.Subjects) == 1 && have.Subjects[0] == want.Subjects[0], "subjects", have.Subjects, want.Subjects)
	check(have.Storage == want.Storage, "storage", have.Storage, want.Storage)
	check(have.Retention == want.Retention, "retention", have.Retention, want.Retention)
	check(have.Discard == want.Discard, "discard", have.Discard, want.Discard)
	check(have.Replicas == want.Replicas, "replicas", have.Replicas, want.Replicas)
	check(have.MaxMsgs <= 0, "max messages", have.MaxMsgs, "none")
	check(have.MaxMsgsPerSubject <= 0, "max messages per subject", have.MaxMsgsPerSubject, "none")
	check(have.MaxAge == 0, "max age", have.MaxAge, "none")
	check(have.MaxMsgSize <= 0 || have.MaxMsgSize >= want.MaxMsgSize, "max message size", have.MaxMsgSize, want.MaxMsgSize)
	check(have.FirstSeq <= 1, "first sequence", have.FirstSeq, 1)
	check(have.PersistMode == want.PersistMode, "persist mode", have.PersistMode, want.PersistMode)
	check(have.Mirror == nil && len(have.Sources) == 0, "mirror or sources", "set", "none")
	check(have.SubjectTransform == nil && have.RePublish == nil, "transform or republish", "set", "none")
	for _, flag := range []struct {
		name       string
		has, wants bool
	}{
		{"deny delete", have.DenyDelete, true}, {"deny purge", have.DenyPurge, true}, {"rollup", have.AllowRollup, false},
		{"message ttl", have.AllowMsgTTL, false}, {"sealed", have.Sealed, false}, {"no ack", have.NoAck, false},
		{"schedules", have.AllowMsgSchedules, false}, {"counters", have.AllowMsgCounter, false},
		{"discard new per subject", have.DiscardNewPerSubject, false},
		{"atomic batches", have.AllowAtomicPublish, false}, {"fast batches", have.AllowBatchPublish, false},
	} {
		check(flag.has == flag.wants, flag.name, flag.has, flag.wants)
	}
	return errors.Join(wrong...)
}

// ack is what the server answers to a publish.
type ack struct {
	Stream   string `json:"stream"`
	Sequence uint64 `json:"seq"`
	Error    *struct {
		Code        int    `json:"code"`
		Number      int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// Numbers of the server's errors that say what became of a publish.
const (
	wrongLastSequence     = 10071 // the tail moved
	insufficientResources = 10023 // of the disk, or of the account
	storageExceeded       = 10047
	wrongLastSequenceBusy = 10164 // another publish is in process
	clusterNoPeers        = 10005
	clusterNotAvailable   = 10008
	clusterNotLeader      = 10009
	duplicateInProcess    = 10158
	tooManyRequests       = 10167
)

// Append implements Store: one publish, never tried again, with the expected last
// sequence. A server whose disk fails does not answer at all, so that too ends as
// ErrInDoubt; its stream then takes no more, and the caller's reading and sending
// again change nothing, until its context ends.
func (j *JetStream) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	reply, err := j.ask(ctx, expectLast, message)
	if err != nil {
		if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
			return 0, fmt.Errorf("%w: stream %s: %w", ErrStopped, j.name, err)
		}
		return 0, fmt.Errorf("%w: stream %s: %w", ErrInDoubt, j.name, err)
	}
	if bytes.Equal(reply, fmt.Appendf(nil, `{"stream":%q,"seq":%d}`, j.name, expectLast+1)) {
		return expectLast + 1, nil // what it says, but on an error or in a domain
	}
	var a ack
	if err := json.Unmarshal(reply, &a); err != nil {
		return 0, fmt.Errorf("%w: stream %s: %w", ErrInDoubt, j.name, err)
	}
	if a.Error != nil {
		return 0, j.refusal(&a)
	}
	if a.Stream != j.name || a.Sequence != expectLast+1 {
		return 0, fmt.Errorf("%w: acknowledged as %s %d, want %s %d", ErrInDoubt, a.Stream, a.Sequence, j.name, expectLast+1)
	}
	return a.Sequence, nil
}

// ask publishes message and waits for what the stream answers to it. What comes to
// earlier ones, which were given up, is passed over.
func (j *JetStream) ask(ctx context.Context, expectLast uint64, message []byte) ([]byte, error) {
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for len(j.lost) > 0 {
		<-j.lost
	}
	j.count++
	j.message.Reply = j.inbox + strconv.FormatUint(j.count, 10)
	j.message.Header[nats.ExpectedLastSeqHdr][0] = strconv.FormatUint(expectLast, 10)
	j.message.Data = message
	err := j.nc.PublishMsg(&j.message)
	if j.message.Data = nil; err != nil {
		return nil, err
	}
	for {
		select {
		case m := <-j.answers:
			switch {
			case m.Subject != j.message.Reply:
			case len(m.Data) == 0:
				return nil, fmt.Errorf("%w: %s", nats.ErrNoResponders, m.Header.Get("Status"))
			default:
				return m.Data, nil
			}
		case <-j.lost:
			return nil, nats.ErrDisconnected
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// refusal sorts an error of the server. What is not known to pass is taken to
// stay, as a full disk does.
func (j *JetStream) refusal(a *ack) error {
	kind := ErrStopped
	switch a.Error.Number {
	case wrongLastSequence:
		kind = ErrMoved
	case insufficientResources, storageExceeded:
		kind = ErrNoRoom
	case wrongLastSequenceBusy, clusterNoPeers, clusterNotAvailable, clusterNotLeader, duplicateInProcess, tooManyRequests:
		kind = ErrInDoubt
	}
	return fmt.Errorf("%w: stream %s: %s (%d)", kind, j.name, a.Error.Description, a.Error.Number)
}

// Last implements Store. The stream's leader answers.
func (j *JetStream) Last(ctx context.Context) (uint64, error) {
	info, err := j.inquire(ctx, "$JS.API.STREAM.INFO."+j.name, nil)
	if err != nil {
		return 0, fmt.Errorf("journal: stream %s: %w", j.name, err)
	}
	return info.State.Last, nil
}

// Read implements Store. A few messages come from the leader one by one, many by
// a consumer; what a consumer passes over is asked for at the leader, and a
// message that the leader does not have is an error.
func (j *JetStream) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	last, err := j.Last(ctx)
	if err != nil {
		return err
	}
	from = max(from, 1)
	if from+j.few > last {
		_, err = j.readSingly(ctx, from, last, fn)
	} else {
		_, err = j.pullUp(ctx, from, last, fn)
	}
	return err
}

// readSingly reads up to last from the leader, and returns where to go on. It asks for
// some messages ahead of the one that is passed on.
func (j *JetStream) readSingly(ctx context.Context, from, last uint64, fn func(uint64, []byte) error) (uint64, error) {
	if from > last { // as behind each message of a consumer that passes over none
		return from, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	type answer struct {
		message []byte
		err     error
	}
	var answers [abreast]chan answer
	for next := from; from <= last; from++ {
		for ; next <= last && next < from+abreast; next++ {
			to, seq := make(chan answer, 1), next
			answers[seq%abreast] = to
			asking.Go(func() {
				message, err := j.get(ctx, seq)
				to <- answer{message, err}
			})
		}
		a := <-answers[from%abreast]
		if a.err == nil {
			a.err = fn(from, a.message)
		}
		if a.err != nil {
			return from, a.err
		}
	}
	return from, nil
}

// get asks the leader for one message: unlike a direct get, which any replica
// answers, it sees all that was acknowledged.
func (j *JetStream) get(ctx context.Context, seq uint64) ([]byte, error) {
	found, err := j.inquire(ctx, "$JS.API.STREAM.MSG.GET."+j.name, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err == nil && found.Message.Sequence != seq {
		err = fmt.Errorf("answered with sequence %d", found.Message.Sequence)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: stream %s: message at sequence %d: %w", j.name, seq, err)
	}
	return found.Message.Data, nil
}

// Tail implements Store. It survives the loss of the connection and of the
// server; only ctx and fn end it.
func (j *JetStream) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	from = max(from, 1)
	var failed error
	guarded := func(seq uint64, message []byte) error {
		failed = fn(seq, message)
		return failed
	}
	for {
		from, _ = j.pull(ctx, from, 0, guarded)
		if failed != nil {
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(maxPause):
		}
	}
}
