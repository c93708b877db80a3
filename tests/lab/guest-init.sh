#!/bin/sh
# The first process of a lab host under user-mode Linux (tests/lab/uml.py). The machine that it runs on is its root
# filesystem, read-only and under an overlay in memory: it has the programs that are installed there and needs no image.
# Kernel arguments: lab_name, lab_address (ADDRESS/BITS), lab_folder (keys and sshd's settings), lab_udev (0 or 1).
# Sources: kernel Documentation/virt/uml, filesystems/overlayfs; lvm.conf(5), mdadm.conf(5).
PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
export PATH HOME
mount -t proc proc /proc
for word in $(cat /proc/cmdline); do
    case $word in
    lab_name=*) name=${word#*=} ;;
    lab_address=*) address=${word#*=} ;;
    lab_folder=*) folder=${word#*=} ;;
    lab_udev=*) udev=${word#*=} ;;
    esac
done
modules=/usr/lib/uml/modules/$(uname -r)

# -- a root that can be written to --

insmod "$modules/kernel/fs/overlayfs/overlay.ko"
mount -t tmpfs -o size=80% tmpfs /mnt
root=/mnt/root
mkdir /mnt/upper /mnt/scratch "$root"
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/scratch "$root"
mkdir -p "$root/lib/modules"
ln -sfn "$modules" "$root/lib/modules/$(uname -r)"
mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount -t devtmpfs dev "$root/dev"
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts "$root/dev/pts"
# an empty home too: what root's shell does there when it starts costs seconds in every login
for place in run tmp root dev/shm mnt; do mount -t tmpfs tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
chmod 700 "$root/root"
mkdir -p "$root/run/lock" "$root/run/sshd" "$root/run/lab" "$root/run/lvm" "$root/run/mdadm" "$root/etc/lvm" "$root/etc/mdadm"
cp "$folder"/guest/* "$root/run/lab/"

# -- nothing of the machine's own configuration --

hostname "$name"
echo "$name" >"$root/etc/hostname"
echo "127.0.0.1 localhost $name" >"$root/etc/hosts"
: >"$root/etc/fstab"
rm -rf "$root/var/lib/splitmirror" "$root/etc/lvm/archive" "$root/etc/lvm/backup" "$root/etc/lvm/devices"
echo 'AUTO -all' >"$root/etc/mdadm/mdadm.conf" # no array starts by itself
cat >"$root/etc/lvm/lvm.conf" <<END
# LVM does not know these disks by their name; without udev it makes the nodes itself
devices { types = [ "ubd", 16 ] use_devicesfile = 0 }
activation { monitoring = 0 udev_sync = $udev udev_rules = $udev }
global { event_activation = 0 use_lvmpolld = 0 }
END

# -- network, modules, login --

ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up
for module in dm-mod dm-raid dm-mirror dm-snapshot dm-thin-pool raid1 loop ext4 xfs; do chroot "$root" modprobe -q "$module"; done
if [ "$udev" = 1 ]; then
    chroot "$root" /lib/systemd/systemd-udevd --daemon
    chroot "$root" udevadm trigger --action=add
    chroot "$root" udevadm settle -t 20
fi
chroot "$root" /usr/sbin/sshd -f /run/lab/sshd_config -E /run/sshd.log
# bash reaps what is orphaned, at once
exec chroot "$root" /bin/bash -c 'while :; do sleep 3600 & wait "$!"; done' </dev/null
