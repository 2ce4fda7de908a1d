#!/bin/bash
# SPDX-License-Identifier: MIT
# Greps the includes: who may know whom. The order of the levels below is the order of the design; a file may
# include its own header and those of levels above it, never one beside or below it. Prints what breaks a
# rule as FILE: INCLUDE, and ends with status 1.
#
#	tests/layers.sh [SOURCE-DIRECTORY]
set -euo pipefail
cd "${1:-"$(dirname "$0")/.."}"

# Levels: those on one line may not include each other, except inside a group written a+b.
levels=(
	'base'
	'kmod'
	'aio'
	'conn/reason conn/timeout'
	'tls outq+service'
	'counters'
	'http+echo'
	'settings log publish'
	'conn/buf'
	'conn/tls conn/shard'
	'conn/conn'
	'conn/op conn/deadline'
	'conn/input conn/output'
	'conn/fsm'
	'conn/peer conn/turn'
	'accept'
	'listener'
	'options'
	'worker'
	'stats'
	'main'
)

bad=0
complain() {
	printf '%s: %s: %s\n' "$1" "$2" "$3" >&2
	bad=1
}

# Sets level and group of the unit that a path belongs to: a directory, or a file of server/.
place_of() {
	local unit=${1%.[ch]} words word i
	case $unit in
	server/http/*) unit=http ;;
	server/*) unit=${unit#server/} ;;
	*) unit=${unit%%/*} ;;
	esac
	for i in "${!levels[@]}"; do
		read -ra words <<<"${levels[i]}"
		for word in "${words[@]}"; do
			if [[ +$word+ == *+"$unit"+* ]]; then
				level=$i group=$word
				return
			fi
		done
	done
	level=-1 group=
}

# "FILE INCLUDE" for each include, quoted ones as paths from the root.
includes() {
	local file line name
	for file in "$@"; do
		while read -r line; do
			name=${line#*[\"<]}
			name=${name%[\">]*}
			if [[ $line == *\"* && $name != */* ]]; then
				name=${file%/*}/$name
			fi
			echo "$file" "$name"
		done < <(grep -E '^[[:space:]]*#[[:space:]]*include' "$file")
	done
}

check_order() {
	local file name level group file_level file_group
	while read -r file name; do
		[[ -e $name ]] || continue
		place_of "$file"
		file_level=$level file_group=$group
		place_of "$name"
		if ((file_level < 0)); then
			complain "$file" "$name" 'this file is at no level: give it one in tests/layers.sh'
		elif ((level < 0 || level > file_level)); then
			complain "$file" "$name" 'is of a level below'
		elif ((level == file_level)) && [[ $group != "$file_group" ]]; then
			complain "$file" "$name" 'is beside it'
		fi
	done
}

check_rules() {
	local file name
	while read -r file name; do
		case $name in
		openssl/*) [[ $file == tls/* ]] || complain "$file" "$name" 'only tls/ includes OpenSSL' ;;
		aio/engine*.h) [[ $file == aio/* ]] || complain "$file" "$name" 'engines are private to aio/' ;;
		kmod/*)
			[[ $file == aio/engine_kmod.c && $name == kmod/uapi/taio.h ]] ||
				complain "$file" "$name" 'only engine kmod sees the module, and of it the interface'
			;;
		ev.h)
			[[ $file =~ ^server/(accept|worker|main)\.[ch]$ ]] ||
				complain "$file" "$name" 'only accept, worker and main see libev'
			;;
		esac
		case $file:$name in
		client/*:client/* | loadgen/*:loadgen/*) ;;
		client/*:aio/taio.h | client/*:base/* | client/*:tls/tls.h) ;;
		loadgen/*:aio/taio.h | loadgen/*:aio/batch.h | loadgen/*:base/* | loadgen/*:tls/tls.h) ;;
		client/*:*/*.h | loadgen/*:*/*.h)
			[[ ! -e $name ]] || complain "$file" "$name" 'client and loadgen see aio, tls and base alone'
			;;
		server/*:tls/* | server/*:aio/*)
			[[ $name == tls/tls.h || $name == aio/taio.h || $name == aio/batch.h ]] ||
				complain "$file" "$name" 'taio.h, batch.h and tls.h are the interfaces'
			;;
		esac
	done
}

check_order < <(includes {base,aio,tls,server,server/conn,server/http}/*.[ch])
check_rules < <(includes {base,aio,tls,server,server/conn,server/http,client,loadgen}/*.[ch])
exit $bad
