package api

import (
	"context"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/shard"
)

// differing is a shard that knows of one which goes by another directory.
type differing struct{}

func (differing) Number() (self, count uint16) { return 1, 2 }
func (differing) Differs() []string            { return []string{"shard 2 goes by another directory"} }
func (differing) Positions(context.Context) ([]shard.PositionLine, []uint16, error) {
	return nil, nil, nil
}
func (differing) Move(context.Context, tongma.ParticipantID, uint16, bool) (shard.MoveReport, error) {
	return shard.MoveReport{}, nil
}

// TestTheStatusNamesAShardOfAnotherDirectory.
func TestTheStatusNamesAShardOfAnotherDirectory(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Shards = differing{} })
	if s := decode[Status](t, b.ask("operator", "GET", "/v1/status", "")); len(s.Differs) != 1 || s.Differs[0] != "shard 2 goes by another directory" {
		t.Errorf("%+v", s)
	}
}
