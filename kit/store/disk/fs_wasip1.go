package disk

import (
	"errors"

	"netsplit/kit"
)

func isFull(err error) bool {
	return errors.Is(err, ErrFull) || kit.KindOf(err) == kit.Overloaded
}
