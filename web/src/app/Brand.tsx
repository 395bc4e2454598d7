import icon from "./icon.svg";
import classes from "./Brand.module.css";
import { useLink } from "./useRoute.ts";

export function Brand() {
  const link = useLink();
  return (
    <a href={link(["batches"])} className={classes.brand} aria-label="BatchRouter">
      <img src={icon} width={22} height={22} alt="" />
      <span>BatchRouter</span>
    </a>
  );
}
