package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tongma/tongma/schemes"
)

// The shelf is a stream beside the journal where every version of the directory lies
// before the journal names it, so that whoever reads the journal finds it there, even
// if the switch that brought it in is gone. A version lies under its hash, which is
// what the journal names it by: whatever else gets there can not be taken for it.
const (
	shelfStream  = "DIRECTORY_0"
	shelfSubject = "tm.directory.0." // and the hash, and the number of the chunk
	maxChunk     = 256 << 10         // bytes of a version in one message
	mostChunks   = schemes.MaxSource/maxChunk + 1
)

// Headers of each chunk.
const (
	headerVersion = "Tm-Version"
	headerSize    = "Tm-Size"
	headerBefore  = "Tm-Before" // hash of the version before
)

type shelf struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

func openShelf(ctx context.Context, nc *nats.Conn, replicas int) (*shelf, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, shelfStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: shelfStream, Subjects: []string{shelfSubject + ">"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: 1, Replicas: replicas, DenyDelete: true, DenyPurge: true, Description: "Tongma: the versions of the directory"})
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", shelfStream, err)
	}
	return &shelf{js: js, stream: stream}, nil
}

func chunkSubject(hash [32]byte, n int) string {
	return shelfSubject + hex.EncodeToString(hash[:]) + "." + strconv.Itoa(n)
}

// has tells whether a whole version lies there: its first chunk is laid last.
func (s *shelf) has(ctx context.Context, hash [32]byte) (bool, error) {
	_, err := s.stream.GetLastMsgForSubject(ctx, chunkSubject(hash, 0))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// keep lays a version there, and before it those before it that are not there yet.
// When it returns nil they are as durable as the journal. If we stop in between, what
// lies there is named by nobody.
func (s *shelf) keep(ctx context.Context, registry *schemes.Registry, d *schemes.Directory) error {
	missing := []*schemes.Directory{}
	for version := d.Version(); version > 0; version-- {
		one, ok := registry.At(version)
		if !ok {
			return fmt.Errorf("directory version %d is not in the registry", version)
		}
		there, err := s.has(ctx, one.Hash())
		if err != nil {
			return err
		}
		if there {
			break
		}
		missing = append(missing, one)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := s.lay(ctx, registry, missing[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) lay(ctx context.Context, registry *schemes.Registry, d *schemes.Directory) error {
	var before [32]byte
	if one, ok := registry.At(d.Version() - 1); ok {
		before = one.Hash()
	}
	source := d.Source()
	for n := (len(source) - 1) / maxChunk; n >= 0; n-- {
		m := nats.NewMsg(chunkSubject(d.Hash(), n))
		m.Header.Set(headerVersion, strconv.FormatUint(d.Version(), 10))
		m.Header.Set(headerSize, strconv.Itoa(len(source)))
		m.Header.Set(headerBefore, hex.EncodeToString(before[:]))
		m.Data = source[n*maxChunk : min(len(source), (n+1)*maxChunk)]
		if _, err := s.js.PublishMsg(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// errNotShelved is a version that does not lie there, or not whole.
var errNotShelved = errors.New("is not kept beside the journal")

// read returns the source that has a hash, and the hash of the version before.
func (s *shelf) read(ctx context.Context, hash [32]byte) (source []byte, before [32]byte, err error) {
	for n := 0; n < mostChunks; n++ {
		m, err := s.stream.GetLastMsgForSubject(ctx, chunkSubject(hash, n))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, before, errNotShelved
		}
		if err != nil {
			return nil, before, err
		}
		source = append(source, m.Data...)
		size, err := strconv.Atoi(m.Header.Get(headerSize))
		if err != nil || len(source) > size || len(m.Data) == 0 {
			return nil, before, errNotShelved
		}
		if len(source) < size {
			continue
		}
		named, err := hex.DecodeString(m.Header.Get(headerBefore))
		if err != nil || len(named) != len(before) || sha256.Sum256(source) != hash {
			return nil, before, errNotShelved
		}
		return source, [32]byte(named), nil
	}
	return nil, before, errNotShelved
}

// fill brings a registry up to the version that the journal names. Versions in
// between come too, since a registry has no gaps: each names the one before it.
func (s *shelf) fill(ctx context.Context, registry *schemes.Registry, named directoryRef) error {
	have := uint64(len(registry.Versions()))
	if have >= named.version {
		return nil
	}
	hash, sources := named.hash, [][]byte{}
	for version := named.version; version > have; version-- {
		source, before, err := s.read(ctx, hash)
		if err != nil {
			return fmt.Errorf("directory version %d: %w", version, err)
		}
		sources, hash = append(sources, source), before
	}
	if d, ok := registry.At(have); ok && d.Hash() != hash {
		return fmt.Errorf("directory version %d of this folder is not the one that version %d came after", have, have+1)
	}
	for i := len(sources) - 1; i >= 0; i-- {
		if _, err := registry.Add(sources[i]); err != nil {
			return err
		}
	}
	return nil
}
