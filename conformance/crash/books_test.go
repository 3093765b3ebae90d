package crash_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// settleDown waits until a running switch holds no amount for anybody.
func settleDown(t *testing.T, s *site, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	token := s.token(t, "operator")
	for {
		held, err := holding(ctx, s, token)
		if err == nil && len(held) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %v amounts are still held: %v (%v)", within, held, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// holding returns the accounts in which an amount is held.
func holding(ctx context.Context, s *site, token string) (held []string, err error) {
	body, err := s.ask(ctx, "GET", "/v1/positions", token, "", nil)
	if err != nil {
		return nil, err
	}
	var list struct {
		Positions []struct{ Participant, Currency, Reserved string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for _, p := range list.Positions {
		if strings.Trim(p.Reserved, "0.") != "" {
			held = append(held, p.Participant+" "+p.Reserved+" "+p.Currency)
		}
	}
	return held, nil
}
